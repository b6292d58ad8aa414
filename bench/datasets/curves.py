"""FFJORD's 2-D sets that are noisy curves: moons, swissroll and 2spirals.

A point is c(t) + noise with a random t, so its density is p(x) = int p(t) p(x - c(t)) dt, here by Gauss-Legendre
quadrature: exact up to that rule, whose nodes are so dense that twice as many change ln p by less than 1e-10 wherever
the data is. The moons and the swissroll are those of scikit-learn with t drawn independently.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

from bench.datasets.boxes import Boxes
from bench.datasets.gaussians import Mixture, mixture
from bench.datasets.points import F64, choice, normal, polar, toy, uniform


def quadrature(low: float, high: float, panels: int) -> tuple[Tensor, Tensor]:
    """Nodes t and weights w of int_low^high f dt = sum_i w_i f(t_i): 16-point Gauss-Legendre on equal panels."""
    import numpy as np

    nodes, weights = map(torch.from_numpy, np.polynomial.legendre.leggauss(16))
    half = (high - low) / panels / 2
    centres = low + half * (2 * torch.arange(panels, dtype=F64) + 1)
    return (centres.unsqueeze(1) + half * nodes).flatten(), (half * weights).repeat(panels)


def half_circles(t: Tensor) -> Tensor:
    """scikit-learn's two moons without noise, at angles t in [0, pi], shape (2, N, 2)."""
    upper = polar(1.0, t)
    return torch.stack([upper, t.new_tensor([1.0, 0.5]) - upper])


def moon_curves(t: Tensor) -> Tensor:
    """The two half circles of this set, shape (2, N, 2)."""
    return 2 * half_circles(t) + t.new_tensor([-1.0, -0.2])


@lru_cache
def moons_law() -> Mixture:
    """The moons as a mixture over the nodes of the angle, noise 0.2."""
    t, w = quadrature(0, math.pi, 12)
    return mixture(moon_curves(t).flatten(0, 1), 0.2, w.repeat(2))


@toy("moons", law=moons_law)
def moons(n: int, rng: torch.Generator) -> Tensor:
    """Two half circles, scikit-learn's noise 0.1, times 2 plus (-1, -0.2)."""
    curves = moon_curves(math.pi * uniform(n, rng))
    return curves[choice(2, n, rng), torch.arange(n)] + 0.2 * normal(n, rng)


@lru_cache
def swissroll_law() -> Mixture:
    """The swissroll as a mixture over the nodes of its angle t in [1.5 pi, 4.5 pi], noise 0.2."""
    t, w = quadrature(1.5 * math.pi, 4.5 * math.pi, 32)
    return mixture(polar(t / 5, t), 0.2, w)


@toy("swissroll", law=swissroll_law)
def swissroll(n: int, rng: torch.Generator) -> Tensor:
    """The spiral t (cos t, sin t), t uniform, scikit-learn's noise 1, divided by 5."""
    t = 1.5 * math.pi * (1 + 2 * uniform(n, rng))
    return polar(t / 5, t) + 0.2 * normal(n, rng)


JITTER, SPIRAL_STD = 0.5 / 3, 0.1


def spiral(t: Tensor) -> Tensor:
    """t (-cos t, sin t) / 3, shape (N, 2)."""
    return polar(t / 3, math.pi - t)


@lru_cache
def two_spirals_law(panels: int = 40) -> Boxes:
    """The spiral and its mirror image over the nodes of the angle, p(t) = 2 t / (3 pi)^2, noise U[0, a] + N(0, s^2)."""
    t, w = quadrature(0, 3 * math.pi, panels)
    middle = spiral(t) + JITTER / 2
    means, weights = torch.cat([middle, -middle]), (w * t).repeat(2)
    widths = torch.full_like(means, JITTER)
    return Boxes(weights / weights.sum(), means, torch.full_like(means, SPIRAL_STD), widths)


# A field along a path is asked some hundred times: with 20 panels its score is exact to three digits.
@toy("2spirals", lambda x: two_spirals_law().log_prob(x), law=lambda: two_spirals_law(20))
def two_spirals(n: int, rng: torch.Generator) -> Tensor:
    """Two spirals of 540 degrees, one the mirror image of the other, with noise 0.1.

    t = 3 pi sqrt(U), each point moved by U[0, 0.5] along both axes, and both divided by 3."""
    t = 3 * math.pi * uniform(n, rng).sqrt()
    jitter = JITTER * torch.stack([uniform(n, rng), uniform(n, rng)], 1)
    sign = 2 * choice(2, n, rng).unsqueeze(1) - 1
    return sign * (spiral(t) + jitter) + SPIRAL_STD * normal(n, rng)
