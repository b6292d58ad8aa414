"""FFJORD's 2-D sets (Grathwohl et al. 2019) of squares, blobs and circles; `curves` holds the others.

Every point is an independent draw: where FFJORD's code spaces angles evenly or fixes the size of each part, these
take the limit of infinitely many. The checkerboard is uniform on squares, and a circle of radius r with N(0, s^2 I)
added has the density p(x) = exp(-(|x| - r)^2 / 2 s^2) I0e(|x| r / s^2) / (2 pi s^2). The pinwheel has no density in
closed form.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

from bench.datasets.boxes import Boxes
from bench.datasets.gaussians import Mixture, mixture
from bench.datasets.points import F64, choice, normal, polar, toy, uniform

CIRCLES = ((3.0, 1.5), 0.24)
RINGS = ((3.0, 2.25, 1.5, 0.75), 0.08)


def checkerboard_log_prob(x: Tensor) -> Tensor:
    """-ln 32 on the eight squares, -inf elsewhere."""
    inside = (x.abs() < 4).all(1) & ((x / 2).floor().sum(1) % 2 == 0)
    return torch.where(inside, x.new_tensor(-math.log(32)), -math.inf)


@lru_cache
def checkerboard_law() -> Boxes:
    """Eight squares of side 2."""
    corners = torch.cartesian_prod(torch.arange(-2, 2), torch.arange(-2, 2))
    middles = 2.0 * corners[corners.sum(1) % 2 == 0].double() + 1
    return Boxes(torch.full((8,), 1 / 8, dtype=F64), middles, 0 * middles, 0 * middles + 2)


@toy("checkerboard", checkerboard_log_prob, extent=4.5, law=checkerboard_law)
def checkerboard(n: int, rng: torch.Generator) -> Tensor:
    """Uniform on eight squares of [-4, 4]^2: density 1/32, entropy ln 32 = 3.4657 nats."""
    x = 4 * uniform(n, rng) - 2
    y = uniform(n, rng) - 2 * choice(2, n, rng) + x.floor() % 2
    return 2 * torch.stack([x, y], 1)


@lru_cache
def eight_gaussians() -> Mixture:
    """Std 0.5 and radius 4, both divided by 1.414."""
    angles = torch.arange(8, dtype=F64) * (math.pi / 4)
    return mixture(polar(4 / 1.414, angles), 0.5 / 1.414)


@toy("8gaussians", law=eight_gaussians)
def gaussians(n: int, rng: torch.Generator) -> Tensor:
    """Eight equal Gaussians of std 0.354 on a circle of radius 2.83."""
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


@lru_cache
def circles_law(radii: tuple[float, ...], std: float) -> Mixture:
    """The same as a mixture over even angles: a deviation apart they give ln p to 1e-5 where the data is."""
    nodes = [torch.arange(n, dtype=F64) * (2 * math.pi / n) for n in (math.ceil(2 * math.pi * r / std) for r in radii)]
    means = torch.cat([polar(r, angles) for r, angles in zip(radii, nodes, strict=True)])
    weights = torch.cat([torch.full_like(angles, 1 / len(angles)) for angles in nodes])
    return mixture(means, std, weights)


@toy("circles", lambda x: circles_log_prob(x, *CIRCLES), law=lambda: circles_law(*CIRCLES))
def circles(n: int, rng: torch.Generator) -> Tensor:
    """Two circles, scikit-learn's factor 0.5 and noise 0.08, times 3."""
    return noisy_circles(n, rng, *CIRCLES)


@toy("rings", lambda x: circles_log_prob(x, *RINGS), law=lambda: circles_law(*RINGS))
def rings(n: int, rng: torch.Generator) -> Tensor:
    """Four circles of radius 3, 2.25, 1.5, 0.75 with noise 0.08."""
    return noisy_circles(n, rng, *RINGS)


@toy("pinwheel")
def pinwheel(n: int, rng: torch.Generator) -> Tensor:
    """Five arms: points (1 + 0.3 a, 0.1 b), a and b ~ N(0, 1), turned by -0.25 exp(1 + 0.3 a) and times 2."""
    noise = normal(n, rng)
    along, across = 1 + 0.3 * noise[:, 0], 0.1 * noise[:, 1]
    angle = choice(5, n, rng) * (2 * math.pi / 5) + 0.25 * along.exp()
    return 2 * (polar(along, -angle) + polar(across, math.pi / 2 - angle))
