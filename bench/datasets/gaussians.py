"""Gaussians and their mixtures in any dimension: p(x) = sum_k w_k N(x; m_k, diag(s_k^2)).

They are the oracles of the harness: density, moments, and the marginal velocity field of every Gaussian
probability path are closed forms in (w, m, s), so that any measurement can be checked against the truth.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import FiniteFloat
from torch import Tensor

from bench.datasets.law import Law
from bench.datasets.points import Points, at_least, split_points
from bench.datasets.splits import split_by
from bench.errors import UsageError


@dataclass(frozen=True, eq=False)
class Mixture(Law):
    """Weights (K,), means (K, D) and standard deviations per dimension (K, D), all float64."""

    weights: Tensor
    means: Tensor
    stds: Tensor

    def parts(self, x: Tensor) -> tuple[Tensor, Callable[[], Tensor]]:
        means, stds = (table.to(x.device) for table in (self.means, self.stds))
        z = (x.unsqueeze(1) - means) / stds
        constant = -stds.log().sum(1) - means.shape[1] / 2 * math.log(2 * math.pi)
        return constant - z.square().sum(2) / 2, lambda: -z / stds

    def blurred(self, alpha: Tensor, sigma: Tensor) -> "Mixture":
        stds = torch.sqrt((alpha * self.stds).square() + sigma.square())
        return Mixture(self.weights, alpha * self.means, stds)

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        """n independent points, float64 (n, D)."""
        k = torch.multinomial(self.weights, n, replacement=True, generator=rng)
        noise = torch.randn(n, self.means.shape[1], generator=rng, dtype=torch.float64)
        return self.means[k] + self.stds[k] * noise

    @property
    def extent(self) -> float:
        """Half-width of the square around the origin that holds all components up to 3.5 standard deviations."""
        return math.ceil(2 * float((self.means.abs() + 3.5 * self.stds).max())) / 2

    @property
    def digest(self) -> str:
        """Six hexadecimal digits that tell this mixture from others."""
        tables = torch.cat([self.weights.unsqueeze(1), self.means, self.stds], 1)
        return hashlib.sha256(tables.float().numpy().tobytes()).hexdigest()[:6]


def mixture(means: Tensor, std: float | Tensor, weights: Tensor | None = None) -> Mixture:
    """A mixture with `std` broadcast over components and dimensions; equal weights unless given."""
    means = means.double()
    weights = torch.ones(len(means)) if weights is None else weights
    stds = torch.as_tensor(std, dtype=torch.float64).expand_as(means).contiguous()
    return Mixture(weights.double() / weights.double().sum(), means, stds)


def seeded_mixture(dim: int, components: int, std: float, seed: int) -> Mixture:
    """Means ~ N(0, 4 I) and unequal weights, proportional to U[1, 2], both decided by `seed`."""
    rng = torch.Generator().manual_seed(seed)
    means = 2 * torch.randn(components, dim, generator=rng, dtype=torch.float64)
    return mixture(means, std, 1 + torch.rand(components, generator=rng, dtype=torch.float64))


Numbers = FiniteFloat | list[FiniteFloat]


@split_by("gaussian", split_points)
def gaussian(data_dir: Path, dim: int = 2, mean: Numbers = 0.0, std: Numbers = 1.0) -> Points:
    """N(mean, diag(std^2)) in `dim` dimensions; mean and std are one number, or one for each dimension."""
    at_least(1, "gaussian", dim=dim)
    return _points("gaussian", mixture(_vector("mean", mean, dim).unsqueeze(0), _vector("std", std, dim)))


@split_by("gaussian_mixture", split_points)
def gaussian_mixture(
    data_dir: Path, dim: int = 2, components: int = 8, std: FiniteFloat = 0.5, seed: int = 0
) -> Points:
    """A mixture of `components` isotropic Gaussians whose means and weights `seed` decides."""
    at_least(1, "gaussian_mixture", dim=dim, components=components)
    at_least(0, "gaussian_mixture", seed=seed)
    return _points("gaussian_mixture", seeded_mixture(dim, components, std, seed))


def _points(name: str, law: Mixture) -> Points:
    if not (law.stds > 0).all():
        raise UsageError(f"dataset {name}: std = {float(law.stds.min())}: must be above 0")
    edition = f"1-{law.means.shape[1]}d-{law.digest}"
    return Points(name, law.sample, extent=law.extent, edition=edition, law=lambda: law)


def _vector(key: str, value: float | Sequence[float], dim: int) -> Tensor:
    vector = torch.as_tensor(value, dtype=torch.float64)
    if vector.numel() not in (1, dim):
        raise UsageError(f"dataset gaussian: {key} has {vector.numel()} numbers: must be one, or dim = {dim}")
    return vector.expand(dim)
