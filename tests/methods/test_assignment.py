"""Permutations of least cost against POT's network simplex, which is exact."""

import math

import ot
import pytest
import torch
from torch import Tensor

from bench.methods.assignment import assignment


def costs(n: int, dim: int, seed: int = 0) -> Tensor:
    x1, x0 = torch.randn(2, n, dim, generator=torch.Generator().manual_seed(seed))
    return torch.cdist(2 * x1.tanh(), x0).square().double()


@pytest.mark.parametrize(("n", "dim"), [(1, 2), (2, 2), (17, 1), (128, 2), (256, 2), (128, 64), (64, 3072)])
def test_it_is_the_permutation_of_the_network_simplex(n: int, dim: int) -> None:
    for seed in range(3):
        cost = costs(n, dim, seed)
        assert torch.equal(assignment(cost), ot.emd([], [], cost).argmax(1))


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1e6, 1e40])
def test_the_scale_of_the_costs_is_of_no_effect(scale: float) -> None:
    """Single precision does not hold squares of 1e40: then nothing is subtracted."""
    cost = costs(64, 2)
    assert torch.equal(assignment(scale * cost), assignment(cost))


def test_potentials_of_any_size_are_of_no_effect() -> None:
    cost, f, g = costs(64, 2), *1e3 * torch.randn(2, 64, generator=torch.Generator().manual_seed(1)).double()
    assert torch.equal(assignment(cost + f[:, None] + g), assignment(cost))


def test_classes_that_are_far_apart_stay_apart() -> None:
    cost, labels = costs(128, 2), torch.arange(128) % 3
    cost += 200.0 * (labels[:, None] != labels)
    found = assignment(cost)
    assert torch.equal(labels[found], labels) and torch.equal(found, ot.emd([], [], cost).argmax(1))


def test_equal_costs_have_a_permutation_and_a_cost_of_nan_has_none() -> None:
    assert sorted(assignment(torch.ones(9, 9, dtype=torch.float64)).tolist()) == list(range(9))
    with pytest.raises(ValueError, match="invalid"):
        assignment(torch.full((2, 2), math.nan, dtype=torch.float64))
