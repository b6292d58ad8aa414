"""Two moons, a simulator whose posterior is known (Greenberg et al. 2019; Lueckmann et al. 2021, "sbibm").

theta ~ U[-1, 1]^2 and, with z = ((theta_1 + theta_2), (theta_2 - theta_1)) / sqrt(2), a ~ U(-pi/2, pi/2) and
r ~ N(0.1, 0.01^2),

    x = p + (-|z_1|, z_2),        p = (r cos a + 1/4, r sin a),

of which theta is asked. Given x, the half ring p has the point (u, v) = (x_1 + |z_1| - 1/4, x_2 - z_2), turning keeps
areas, and z and (-z_1, z_2) make the same x. Thus

    p(theta | x) = N(rho; 0.1, 0.01^2) / (2 pi rho Z(x)),        rho = |(u, v)|, u > 0, theta in [-1, 1]^2,

with Z the share of the half ring that has a theta: q = (p_1 - x_1, x_2 - p_2) has q_1 >= 0 and q_1 + |q_2| <= sqrt(2).
At a radius each of the three bounds leaves out an arc, so Z is a mean over the radius of angles in closed form, here by
Gauss-Legendre quadrature. Radii below 0, ten deviations away, are left out. The factor 1 / rho is that of polar
coordinates; sbibm's own likelihood is without it, and its sampler without q_1 >= 0.
"""

import math
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from bench.datasets.base import Dataset
from bench.datasets.curves import quadrature
from bench.datasets.law import in_chunks
from bench.datasets.observed import observed
from bench.datasets.points import N_TEST, N_TRAIN, Points, polar, split_points, uniform
from bench.datasets.splits import split_by
from bench.errors import UsageError
from bench.training.seeds import generator

RADIUS, SPREAD, OFFSET = 0.1, 0.01, 0.25
HALF_DIAGONAL = math.sqrt(2)  # |z_1| + |z_2| of the edge of the square that theta is in
REACH = 8  # deviations of the radius that are integrated over
PANELS = 64
OBSERVATIONS = (  # those that sbibm measures posteriors at
    *((-0.6396706, 0.16234657), (-0.5676688, -0.33194834), (0.0030109584, -0.6457662), (-0.25049388, 0.633055)),
    *((-0.66463584, -0.42604533), (-0.12940255, 0.3873573), (0.19458583, 1.0400153), (0.13603824, 0.9160449)),
    *((-0.17962828, -0.5452459), (0.14563406, -1.170141)),
)
CANDIDATES, ROUNDS = 2**16, 1000  # of `posterior`: candidates of a round, shared by the rows that still need one


def ring(n: int, rng: torch.Generator) -> Tensor:
    """p, float64 (n, 2)."""
    radius = RADIUS + SPREAD * torch.randn(n, generator=rng, dtype=torch.float64)
    return polar(radius, math.pi * (uniform(n, rng) - 0.5)) + torch.tensor([OFFSET, 0.0], dtype=torch.float64)


def turned(theta: Tensor) -> Tensor:
    """z, shape (n, 2)."""
    return torch.stack([theta[:, 0] + theta[:, 1], theta[:, 1] - theta[:, 0]], 1) / math.sqrt(2)


def simulated(theta: Tensor, rng: torch.Generator) -> Tensor:
    """x of theta (n, 2), float64 (n, 2)."""
    z = turned(theta.double())
    return ring(len(theta), rng) + torch.stack([-z[:, 0].abs(), z[:, 1]], 1)


def log_radius(rho: Tensor) -> Tensor:
    """ln N(rho; 0.1, 0.01^2)."""
    return -((rho - RADIUS) / SPREAD).square() / 2 - math.log(SPREAD * math.sqrt(2 * math.pi))


def share(x: Tensor) -> Tensor:
    """Z(x), float64 (B, 2) -> (B,), within 1e-4 of itself."""
    longest = RADIUS + REACH * SPREAD
    low, across = x[:, 0] - OFFSET, x[:, 1]
    cut = (low > 0) | (HALF_DIAGONAL + low - across.abs() < math.sqrt(2) * longest)
    found = torch.ones_like(low)
    if cut.any():
        found[cut] = in_chunks(_share_of_cut, torch.stack([low, across], 1)[cut], 16 * PANELS)
    return found


def _share_of_cut(x: Tensor) -> Tensor:
    """Z of (x_1 - 1/4, x_2)."""
    rho, weight = quadrature(RADIUS - REACH * SPREAD, RADIUS + REACH * SPREAD, PANELS)
    low, across = x[:, :1], x[:, 1:] / (math.sqrt(2) * rho)
    end = torch.arccos((low / rho).clamp(0, 1))  # q_1 >= 0 is |a| <= end
    # q_1 - q_2 and q_1 + q_2 <= sqrt(2) leave out arcs around pi/4 and -pi/4, which may overlap.
    room = (HALF_DIAGONAL + low) / (math.sqrt(2) * rho)
    up, down = (torch.arccos((room + shift).clamp(-1, 1)) for shift in (across, -across))
    above, below = (math.pi / 4 - up, math.pi / 4 + up), (-math.pi / 4 - down, -math.pi / 4 + down)
    overlap = torch.maximum(above[0], below[0]), torch.minimum(above[1], below[1])
    first, second, twice = (
        (high.minimum(end) - start.maximum(-end)).clamp(min=0) for start, high in (above, below, overlap)
    )
    return ((2 * end - first - second + twice) * (weight * log_radius(rho).exp())).sum(1) / math.pi


def log_prob(theta: Tensor, x: Tensor) -> Tensor:
    """log p(theta | x) in nats, (B, 2) and (B, 2) -> (B,) in the dtype of theta, computed in float64."""
    z, given = turned(theta.double()), x.double()
    u, v = given[:, 0] + z[:, 0].abs() - OFFSET, given[:, 1] - z[:, 1]
    rho = torch.hypot(u, v)
    observed, row = given.unique(dim=0, return_inverse=True)  # often one of many theta
    found = log_radius(rho) - (2 * math.pi * rho * share(observed)[row]).log()
    return torch.where((u > 0) & (theta.abs() <= 1).all(1), found, -math.inf).to(theta.dtype)


def posterior(x: Tensor, rng: torch.Generator) -> Tensor:
    """A draw of theta for each x (B, 2), float32 (B, 2), by rejection.

    Raises:
        UsageError: an x that no theta makes.
    """
    found, todo, given = torch.empty(len(x), 2, dtype=torch.float64), torch.arange(len(x)), x.double()
    for _ in range(ROUNDS):
        if not len(todo):
            return found.float()
        each = max(1, CANDIDATES // len(todo))
        p, own = ring(each * len(todo), rng).view(len(todo), each, 2), given[todo].unsqueeze(1)
        along, across = p[..., 0] - own[..., 0], own[..., 1] - p[..., 1]
        fits = (along >= 0) & (along + across.abs() <= HALF_DIAGONAL)
        rows, first = fits.any(1), fits.int().argmax(1, keepdim=True)
        sign = 2 * torch.randint(2, (len(todo),), generator=rng).double() - 1
        z_1, z_2 = sign * along.gather(1, first).squeeze(1), across.gather(1, first).squeeze(1)
        theta = torch.stack([z_1 - z_2, z_1 + z_2], 1) / math.sqrt(2)
        found[todo[rows]] = theta[rows]
        todo = todo[~rows]
    raise UsageError(f"two_moons: no theta in [-1, 1]^2 is found that makes x = {x[todo[0]].tolist()}")


def _sample(n: int, rng: torch.Generator) -> Tensor:
    theta = 2 * torch.stack([uniform(n, rng), uniform(n, rng)], 1) - 1
    return torch.cat([theta, simulated(theta, rng)], 1)


def split_observed(
    points: Points,
    *,
    observation: int = 0,
    n_train: int = N_TRAIN,
    n_test: int = N_TEST,
    n_validation: int | None = None,
    seed: int | Literal["run"] = 0,
    run_seed: int = 0,
) -> Dataset:
    """`split_points`, with exact draws at one of sbibm's observations for the test split, unless that is 0.

    UsageError for a number of no observation.
    """
    sizes = {"n_train": n_train, "n_test": n_test, "n_validation": n_validation}
    dataset = split_points(points, **sizes, seed=seed, run_seed=run_seed)  # type: ignore[arg-type]
    if not 0 <= observation <= len(OBSERVATIONS):
        raise UsageError(f"dataset two_moons: observation = {observation}: 1 to {len(OBSERVATIONS)}, or 0 for pairs")
    if not observation:
        return dataset
    rng = generator(run_seed if seed == "run" else seed, "observation", observation)
    c = torch.tensor(OBSERVATIONS[observation - 1])
    return observed(dataset, c, n_test, rng, f"observation{observation}")


@split_by("two_moons", split_observed)
def two_moons(data_dir: Path) -> Points:
    """The two parameters of a simulator, given the two numbers that it made of them (sbibm's two moons)."""
    return Points("two_moons", _sample, log_prob, extent=1.5, given=2, posterior=posterior)
