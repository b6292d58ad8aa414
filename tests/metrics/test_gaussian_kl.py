"""The KL divergence from a fitted Gaussian to Gaussian data, against torch's closed form."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from bench.config.components import build_dataset
from bench.config.settings import Component
from bench.datasets.base import Dataset
from bench.datasets.gaussian_bridge import marginal
from bench.errors import NotApplicable
from bench.metrics.gaussian_kl import gaussian_kl


def data(tmp_path: Path, name: str = "gaussian_bridge", **options: object) -> Dataset:
    return build_dataset(Component(name=name, options={"n_train": 64, "n_test": 400, **options}), tmp_path)


def normal(n: int, dim: int) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("dim", [1, 5, 20])
def test_it_is_the_divergence_of_the_fitted_gaussian_from_the_end_of_the_bridge(tmp_path: Path, dim: int) -> None:
    bridge = data(tmp_path, dim=dim)
    x = normal(300, dim) @ torch.randn(dim, dim, generator=torch.Generator().manual_seed(2)) + 0.7
    mean, variance = marginal(torch.tensor(1.0, dtype=torch.float64), 1.0)
    fitted = MultivariateNormal(x.double().mean(0), torch.cov(x.double().T, correction=0).reshape(dim, dim))
    expected = kl_divergence(fitted, MultivariateNormal(mean.expand(dim), variance * torch.eye(dim).double()))
    assert gaussian_kl(x, bridge.test, bridge) == pytest.approx(float(expected), rel=1e-6)


def test_deviations_of_a_diagonal_gaussian_count_too(tmp_path: Path) -> None:
    """N(0, 1) in each of two dimensions to N((1, -2), diag(1/4, 9)): sum of ln s + (1 + m^2) / (2 s^2) - 1/2."""
    law = data(tmp_path, "gaussian", mean=[1.0, -2.0], std=[0.5, 3.0])
    x = normal(400, 2).double()
    x -= x.mean(0)
    x = x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T, correction=0))).T
    expected = math.log(0.5) + 2 / (2 * 0.25) - 0.5 + math.log(3.0) + 5 / 18 - 0.5
    assert gaussian_kl(x, law.test, law) == pytest.approx(expected, rel=1e-6)


def test_samples_of_the_data_have_the_error_of_a_fit(tmp_path: Path) -> None:
    """d (d + 3) / (4 n) = .115 of 1,000 points in 20 dimensions, .0115 of 10,000."""
    bridge = data(tmp_path, dim=20)
    found = [gaussian_kl(normal(n, 20) + 0.1, bridge.test, bridge) for n in (1000, 10_000)]
    assert found == [pytest.approx(0.115, rel=0.2), pytest.approx(0.0115, rel=0.2)]


def test_what_is_not_gaussian_has_none(tmp_path: Path) -> None:
    mixture = data(tmp_path, "gaussian_mixture")
    with pytest.raises(NotApplicable, match="gaussian_mixture is not Gaussian"):
        gaussian_kl(mixture.test, mixture.test, mixture)
    with pytest.raises(NotApplicable, match="the density of pair is not known"):
        gaussian_kl(mixture.test, mixture.test, Dataset("pair", "1", mixture.train, mixture.test))


def test_samples_in_a_plane_are_infinitely_far(tmp_path: Path) -> None:
    bridge = data(tmp_path, dim=3)
    flat = normal(100, 3) * torch.tensor([1.0, 1.0, 0.0])
    assert gaussian_kl(flat, bridge.test, bridge) == math.inf
