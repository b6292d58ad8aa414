"""The Gaussian oracles against torch.distributions and their closed-form moments."""

import math
from pathlib import Path

import pytest
import torch
from torch import distributions as td

from bench.config.registry import datasets
from bench.datasets.base import Dataset
from bench.datasets.gaussians import Mixture, mixture, seeded_mixture
from bench.datasets.toys import eight_gaussians
from bench.errors import UsageError


def dataset(name: str, **options) -> Dataset:
    return datasets[name](Path("unused"), **{"n_train": 50_000, "n_test": 1000, **options})


def reference(law: Mixture) -> td.Distribution:
    parts = td.Independent(td.Normal(law.means, law.stds), 1)
    return td.MixtureSameFamily(td.Categorical(law.weights), parts)


@pytest.mark.parametrize("dim", [1, 2, 7])
def test_mixture_density(dim, rng):
    stds = torch.linspace(0.2, 1.5, 3 * dim).view(3, dim)
    law = mixture(torch.randn(3, dim, generator=rng), stds, weights=torch.tensor([1.0, 2.0, 5.0]))
    assert float(law.weights.sum()) == pytest.approx(1, abs=1e-15)
    x = 3 * torch.randn(40, dim, dtype=torch.float64, generator=rng)
    assert torch.allclose(law.log_prob(x), reference(law).log_prob(x), rtol=1e-12)
    assert law.log_prob(x.float()).dtype == torch.float32


def test_density_in_chunks_is_the_same(monkeypatch):
    law = seeded_mixture(dim=3, components=4, std=0.5, seed=1)
    x = torch.randn(10, 3, dtype=torch.float64)
    whole = law.log_prob(x)
    monkeypatch.setattr("bench.datasets.law.CHUNK", 3 * law.means.numel())
    assert torch.equal(law.log_prob(x), whole)


def test_mixture_samples_have_its_moments():
    law = seeded_mixture(dim=3, components=4, std=0.5, seed=2)
    n = 200_000
    x = law.sample(n, torch.Generator().manual_seed(0))
    mean = law.weights @ law.means
    spread = law.means - mean
    covariance = torch.einsum("k,ki,kj->ij", law.weights, spread, spread) + 0.25 * torch.eye(3)
    assert torch.allclose(x.mean(0), mean, atol=5 * math.sqrt(float(covariance.max()) / n))
    assert torch.allclose(x.T.cov(), covariance, atol=0.02 * float(covariance.max()))
    assert law.weights.max() > 1.05 * law.weights.min()  # equal weights would hide a model that ignores them


def test_eight_gaussians():
    law = eight_gaussians()
    assert torch.allclose(law.means.norm(dim=1), torch.tensor(4 / 1.414, dtype=torch.float64))
    assert torch.allclose(law.stds, torch.tensor(0.5 / 1.414, dtype=torch.float64))
    x = law.sample(100, torch.Generator().manual_seed(0))
    assert torch.equal(dataset("8gaussians").log_prob(x), law.log_prob(x))


@pytest.mark.parametrize("mean, std", [(0.0, 1.0), (2.0, 0.5), ([1.0, -2.0, 0.0], [0.1, 1.0, 3.0])])
def test_gaussian(mean, std):
    data = dataset("gaussian", dim=3, mean=mean, std=std)
    law = td.Independent(td.Normal(torch.ones(3).double() * torch.tensor(mean), torch.tensor(std)), 1)
    assert data.shape == (3,) and data.train.dtype == torch.float32
    x = data.train.double()
    surprise = -data.log_prob(x)
    assert torch.allclose(surprise, -law.log_prob(x), rtol=1e-6)
    # the surprise of a Gaussian has variance d / 2
    assert float(surprise.mean()) == pytest.approx(float(law.entropy()), abs=5 * math.sqrt(1.5 / len(x)))
    assert torch.allclose(x.std(0), torch.tensor(std).double().expand(3), rtol=0.02)


def test_gaussian_mixture_is_decided_by_its_options():
    data, again = (dataset("gaussian_mixture", dim=4, components=3, std=0.3, seed=5) for _ in range(2))
    law = seeded_mixture(dim=4, components=3, std=0.3, seed=5)
    assert data.checksum == again.checksum and data.version == again.version
    assert torch.equal(data.log_prob(data.test), law.log_prob(data.test))
    versions = {
        dataset("gaussian_mixture", **options).version
        for options in ({}, {"dim": 3}, {"components": 2}, {"std": 0.2}, {"seed": 1})
    }
    assert len(versions) == 5


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("gaussian", {"dim": 0}, "dataset gaussian: dim = 0: must be at least 1"),
        ("gaussian", {"dim": 3, "mean": [1.0, 2.0]}, "mean has 2 numbers: must be one, or dim = 3"),
        ("gaussian", {"std": 0.0}, "dataset gaussian: std = 0.0: must be above 0"),
        ("gaussian", {"std": [1.0, math.nan]}, "dataset gaussian: std = nan"),
        (
            "gaussian_mixture",
            {"components": 0},
            "dataset gaussian_mixture: components = 0: must be at least 1",
        ),
        ("gaussian_mixture", {"std": -1.0}, "dataset gaussian_mixture: std = -1.0: must be above 0"),
        ("gaussian_mixture", {"seed": -1}, "dataset gaussian_mixture: seed = -1: must be at least 0"),
    ],
)
def test_bad_options_are_named(name, options, message):
    with pytest.raises(UsageError, match=message):
        dataset(name, **options)
