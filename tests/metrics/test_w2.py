"""The 2-Wasserstein distance between sets whose optimal transport is known."""

import math

import pytest
import torch

from bench.metrics.w2 import wasserstein2


def test_w2_of_a_translation_is_its_length(rng: torch.Generator) -> None:
    x = torch.randn(200, 2, generator=rng)
    y = x[torch.randperm(200, generator=rng)] + torch.tensor([3.0, -4.0])
    assert wasserstein2(x, y) == pytest.approx(5.0, rel=1e-6)
    assert wasserstein2(x, x.flip(0)) == pytest.approx(0.0, abs=1e-6)


def test_w2_on_a_line_couples_in_order(rng: torch.Generator) -> None:
    x, y = torch.randn(300, 1, generator=rng), 2 * torch.rand(300, 1, generator=rng)
    ordered = (x.sort(0).values - y.sort(0).values).double().square().mean().sqrt()
    assert wasserstein2(x, y) == pytest.approx(float(ordered), rel=1e-6)


def test_w2_splits_mass_between_sets_of_different_size() -> None:
    x, y = torch.zeros(1, 2), torch.tensor([[1.0, 0.0], [-3.0, 0.0]])
    assert wasserstein2(x, y) == pytest.approx(math.sqrt((1 + 9) / 2))


def test_w2_of_a_dilation_of_images(rng: torch.Generator) -> None:
    """x -> 3 x is the gradient of a convex function, hence optimal: W2^2 = 4 E |x|^2."""
    x = torch.randn(100, 1, 2, 2, generator=rng)
    expected = 2 * math.sqrt(float(x.double().square().sum()) / 100)
    assert wasserstein2(x, 3 * x) == pytest.approx(expected, rel=1e-6)
