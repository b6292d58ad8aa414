"""The paths between noise and samples, with their energy and straightness (bench/metrics)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.methods.finite import require
from bench.methods.ode import Solver, VelocityField, solve
from bench.metrics.path_energy import path_energy
from bench.metrics.straightness import straightness


@dataclass(frozen=True)
class Paths:
    """States (T, n, ...) at `times` (T,) with the means over samples of path energy and straightness."""

    times: Tensor
    x: Tensor
    energy: float
    energy_stderr: float
    straightness: float
    straightness_stderr: float


def follow(f: VelocityField, x0: Tensor, t_end: float, points: int, solver: Solver) -> Paths:
    """Solve from the noise x0 and integrate speed and deviation over `points` times by the trapezoidal rule.

    Raises:
        Diverged: the solve failed, or speed or deviation of a path are not finite.
    """
    times = torch.linspace(0.0, t_end, points, dtype=torch.float64)
    with torch.no_grad():
        states = solve(f, x0, tuple(times.tolist()), solver).x
        v = torch.stack([f(t.to(x0), x) for t, x in zip(times, states, strict=True)]).flatten(2)
    chord = (states[-1] - states[0]).flatten(1)
    grid = times.to(v)
    energy, deviation = path_energy(v, grid), straightness(v, chord, grid)
    require(torch.stack([energy, deviation], 1), "paths")
    root = len(x0) ** 0.5
    return Paths(
        times,
        states,
        float(energy.mean()),
        float(energy.std() / root),
        float(deviation.mean()),
        float(deviation.std() / root),
    )
