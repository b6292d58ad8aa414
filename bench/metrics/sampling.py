"""Drawing samples: x_1 from noise x_0 along the ODE, or by a method's own sampler, with the evaluations it took.

An adaptive solver chooses one step for the whole batch, so NFE depends on which samples are solved together; the batch
is therefore part of every setting, and NFE is the mean over samples of their batch's evaluations.
"""

import torch
from torch import Tensor

from bench.baseline import Sampler
from bench.ode import Solver, VelocityField, solve
from bench.seeds import generator, normal


@torch.no_grad()
def draw(
    f: VelocityField,
    t_end: float,
    shape: tuple[int, ...],
    n: int,
    batch: int,
    solver: Solver,
    seed: int,
    device: str,
) -> tuple[Tensor, float]:
    """n samples of `shape`, solved `batch` at a time from noise that belongs to each, and their mean NFE."""
    parts, evaluations = [], 0
    for start in range(0, n, batch):
        stop = min(start + batch, n)
        x0 = normal(shape, seed, "samples", start, stop, device)
        solution = solve(f, x0, (0.0, t_end), solver)
        parts.append(solution.x[-1])
        evaluations += solution.nfe * (stop - start)
    return torch.cat(parts), evaluations / n


@torch.no_grad()
def draw_native(
    name: str, sampler: Sampler, shape: tuple[int, ...], n: int, batch: int, seed: int, device: str
) -> Tensor:
    """n samples by a method's own sampler, from the same noise that `draw` starts from."""
    parts = []
    for start in range(0, n, batch):
        x0 = normal(shape, seed, "samples", start, min(start + batch, n), device)
        parts.append(sampler.sample(x0, generator(seed, name, start)))
    return torch.cat(parts)
