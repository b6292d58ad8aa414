"""FFJORD's 2-D sets that are noisy curves: moons, swissroll and 2spirals.

A point is c(t) + noise with a random t, so its density is p(x) = int p(t) p(x - c(t)) dt, here by Gauss-Legendre
quadrature: exact up to that rule, whose nodes are so dense that twice as many change ln p by less than 1e-10 wherever
the data is. The moons and the swissroll are those of scikit-learn with t drawn independently.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

from bench.datasets.gaussians import Mixture, mixture
from bench.datasets.points import F64, choice, in_chunks, normal, polar, toy, uniform


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


JITTER, SPIRAL_STD = 0.5 / 3, 0.1


def spiral(t: Tensor) -> Tensor:
    """t (-cos t, sin t) / 3, shape (N, 2)."""
    return polar(t / 3, math.pi - t)


def two_spirals_log_prob(x: Tensor, panels: int = 40) -> Tensor:
    """Log-density of the spiral and its mirror image, p(x) = (q(x) + q(-x)) / 2.

    q integrates over the angle t with p(t) = 2 t / (3 pi)^2. Along each axis the noise is U[0, a] + N(0, s^2), so the
    distance z from its middle has density [Phi((a/2 - z) / s) - Phi((-a/2 - z) / s)] / a.
    """
    t, w = (table.to(x.device) for table in quadrature(0, 3 * math.pi, panels))
    middle = spiral(t) + JITTER / 2
    weight = (w * 2 * t / (3 * math.pi) ** 2 / JITTER**2 / 2).log()
    half = JITTER / 2 / SPIRAL_STD

    def density(part: Tensor) -> Tensor:
        z = ((part.double().unsqueeze(1) - middle) / SPIRAL_STD).abs()
        upper, lower = torch.special.log_ndtr(half - z), torch.special.log_ndtr(-half - z)
        return torch.logsumexp(weight + (upper + torch.log1p(-(lower - upper).exp())).sum(2), 1)

    both = in_chunks(density, torch.cat([x, -x]), 2 * len(t))
    return torch.logaddexp(*both.chunk(2)).to(x.dtype)


@toy("2spirals", two_spirals_log_prob)
def two_spirals(n: int, rng: torch.Generator) -> Tensor:
    """Two spirals of 540 degrees, one the mirror image of the other, with noise 0.1.

    t = 3 pi sqrt(U), each point moved by U[0, 0.5] along both axes, and both divided by 3."""
    t = 3 * math.pi * uniform(n, rng).sqrt()
    jitter = JITTER * torch.stack([uniform(n, rng), uniform(n, rng)], 1)
    sign = 2 * choice(2, n, rng).unsqueeze(1) - 1
    return sign * (spiral(t) + jitter) + SPIRAL_STD * normal(n, rng)
