"""The 2-D sets of FFJORD (Grathwohl et al. 2019), with the exact density of all but the pinwheel.

The definitions are FFJORD's, its moons, circles and swissroll those of scikit-learn. Every point is an independent
draw: where theirs space angles evenly or fix the size of each part, these take the limit of infinitely many.

Densities are of three kinds. The checkerboard's is constant on squares. A circle of radius r with N(0, s^2 I) added
has p(x) = exp(-(|x| - r)^2 / 2 s^2) I0e(|x| r / s^2) / (2 pi s^2). Any other curve c(t) with noise is an integral
over t, p(x) = int p(t) p(x | c(t)) dt, exact up to a Gauss-Legendre rule that is fine enough for double precision.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from bench.datasets.base import Dataset
from bench.datasets.gaussians import Mixture, mixture
from bench.datasets.points import N_TEST, N_TRAIN, Sampler, point_dataset
from bench.registry import register_dataset

F64 = torch.float64
Density = Callable[[Tensor], Tensor]


def toy(
    name: str, log_prob: Density | None = None, entropy: float | None = None, extent: float = 4.0
) -> Callable[[Sampler], Sampler]:
    """Decorator that registers `sample(n, rng) -> (n, 2)` as a dataset with options n_train, n_test and seed."""

    def file(sample: Sampler) -> Sampler:
        @register_dataset(name)
        def build(data_dir: Path, n_train: int = N_TRAIN, n_test: int = N_TEST, seed: int = 0) -> Dataset:
            return point_dataset(
                name,
                sample,
                n_train=n_train,
                n_test=n_test,
                seed=seed,
                log_prob=log_prob,
                entropy=entropy,
                extent=extent,
            )

        return sample

    return file


def uniform(n: int, rng: torch.Generator) -> Tensor:
    """U(0, 1), float64 (n,): the midpoints of 2^20 bins.

    After scaling to a few units float32 still holds them exactly, so no point rounds onto the edge of a support.
    """
    return (torch.randint(2**20, (n,), generator=rng).double() + 0.5) / 2**20


def normal(n: int, rng: torch.Generator) -> Tensor:
    """N(0, I), float64 (n, 2)."""
    return torch.randn(n, 2, generator=rng, dtype=F64)


def choice(k: int, n: int, rng: torch.Generator) -> Tensor:
    """Uniform on {0, ..., k-1}, int64 (n,)."""
    return torch.randint(k, (n,), generator=rng)


def polar(radius: Tensor | float, angle: Tensor) -> Tensor:
    """(r, t) -> r (cos t, sin t), shape (..., 2)."""
    return torch.stack([radius * angle.cos(), radius * angle.sin()], -1)


# The checkerboard: eight of the sixteen squares of side 2 in [-4, 4]^2, those whose indices have an even sum.


def checkerboard_log_prob(x: Tensor) -> Tensor:
    """-ln 32 on the eight squares, -inf elsewhere."""
    inside = (x.abs() < 4).all(1) & ((x / 2).floor().sum(1) % 2 == 0)
    return torch.where(inside, -math.log(32), -math.inf).to(x.dtype)


@toy("checkerboard", checkerboard_log_prob, entropy=math.log(32), extent=4.5)
def checkerboard(n: int, rng: torch.Generator) -> Tensor:
    """Uniform on eight squares of [-4, 4]^2: density 1/32, entropy ln 32 = 3.4657 nats."""
    x = 4 * uniform(n, rng) - 2
    y = uniform(n, rng) - 2 * choice(2, n, rng) + x.floor() % 2
    return 2 * torch.stack([x, y], 1)


# Mixtures of Gaussians and of circles.


@lru_cache
def eight_gaussians() -> Mixture:
    """Eight equal Gaussians of std 0.5 on a circle of radius 4, all divided by 1.414."""
    angles = torch.arange(8, dtype=F64) * (math.pi / 4)
    return mixture(polar(4 / 1.414, angles), 0.5 / 1.414)


@toy("8gaussians", lambda x: eight_gaussians().log_prob(x))
def gaussians(n: int, rng: torch.Generator) -> Tensor:
    """Draws of `eight_gaussians`."""
    return eight_gaussians().sample(n, rng)


def circles_log_prob(x: Tensor, radii: tuple[float, ...], std: float) -> Tensor:
    """Log-density of equally likely circles around the origin with N(0, std^2 I) added (Rice's law of |x|)."""
    distance = x.double().norm(dim=1, keepdim=True)
    r = torch.tensor(radii, dtype=F64, device=x.device)
    bessel = torch.special.i0e(distance * r / std**2).log()
    density = bessel - ((distance - r) / std).square() / 2 - math.log(2 * math.pi * std**2 * len(radii))
    return torch.logsumexp(density, 1).to(x.dtype)


def noisy_circles(n: int, rng: torch.Generator, radii: tuple[float, ...], std: float) -> Tensor:
    """Draws of the law of `circles_log_prob`."""
    r = torch.tensor(radii, dtype=F64)[choice(len(radii), n, rng)]
    return polar(r, 2 * math.pi * uniform(n, rng)) + std * normal(n, rng)


CIRCLES = ((3.0, 1.5), 0.24)
RINGS = ((3.0, 2.25, 1.5, 0.75), 0.08)


@toy("circles", lambda x: circles_log_prob(x, *CIRCLES))
def circles(n: int, rng: torch.Generator) -> Tensor:
    """Two circles, scikit-learn's factor 0.5 and noise 0.08, times 3."""
    return noisy_circles(n, rng, *CIRCLES)


@toy("rings", lambda x: circles_log_prob(x, *RINGS))
def rings(n: int, rng: torch.Generator) -> Tensor:
    """Four circles of radius 3, 2.25, 1.5, 0.75 with noise 0.08."""
    return noisy_circles(n, rng, *RINGS)


# Noisy curves.


def quadrature(low: float, high: float, panels: int) -> tuple[Tensor, Tensor]:
    """Nodes t and weights w of int_low^high f dt = sum_i w_i f(t_i): 16-point Gauss-Legendre on equal panels."""
    import numpy as np

    nodes, weights = map(torch.from_numpy, np.polynomial.legendre.leggauss(16))
    half = (high - low) / panels / 2
    centres = low + half * (2 * torch.arange(panels, dtype=F64) + 1)
    return (centres.unsqueeze(1) + half * nodes).flatten(), (half * weights).repeat(panels)


def moon_curves(t: Tensor) -> Tensor:
    """The two half circles at angles t in [0, pi], shape (2, N, 2)."""
    upper = polar(1.0, t)
    return 2 * torch.stack([upper, t.new_tensor([1.0, 0.5]) - upper]) + t.new_tensor([-1.0, -0.2])


@lru_cache
def moons_law() -> Mixture:
    """The moons as a mixture over the nodes of the angle, noise 0.2."""
    t, w = quadrature(0, math.pi, 12)
    return mixture(moon_curves(t).flatten(0, 1), 0.2, w.repeat(2))


@toy("moons", lambda x: moons_law().log_prob(x))
def moons(n: int, rng: torch.Generator) -> Tensor:
    """Two half circles, scikit-learn's noise 0.1, times 2 plus (-1, -0.2)."""
    curves = moon_curves(math.pi * uniform(n, rng))
    return curves[choice(2, n, rng), torch.arange(n)] + 0.2 * normal(n, rng)


@lru_cache
def swissroll_law() -> Mixture:
    """The swissroll as a mixture over the nodes of its angle t in [1.5 pi, 4.5 pi], noise 0.2."""
    t, w = quadrature(1.5 * math.pi, 4.5 * math.pi, 32)
    return mixture(polar(t / 5, t), 0.2, w)


@toy("swissroll", lambda x: swissroll_law().log_prob(x))
def swissroll(n: int, rng: torch.Generator) -> Tensor:
    """The spiral t (cos t, sin t), t uniform, scikit-learn's noise 1, divided by 5."""
    t = 1.5 * math.pi * (1 + 2 * uniform(n, rng))
    return polar(t / 5, t) + 0.2 * normal(n, rng)
