"""Paths along a velocity field from noise, and the metrics of their geometry."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.methods.finite import all_finite
from bench.methods.ode import Solver, VelocityField, solve
from bench.metrics.path_energy import path_energy
from bench.metrics.straightness import straightness
from bench.metrics.tortuosity import tortuosity

OF_PATHS = ("path_energy", "straightness", "tortuosity")


@dataclass(frozen=True)
class Paths:
    """States (T, n, ...) at `times` (T,), and the means over samples with their standard errors."""

    times: Tensor
    x: Tensor
    energy: tuple[float, float]
    straightness: tuple[float, float]
    tortuosity: tuple[float, float]

    @property
    def values(self) -> dict[str, tuple[float, float]]:
        """By the names OF_PATHS."""
        return dict(zip(OF_PATHS, (self.energy, self.straightness, self.tortuosity), strict=True))


def follow(f: VelocityField, x0: Tensor, t_end: float, points: int, solver: Solver, rule: str = "trapezoid") -> Paths:
    """Solve from x0; integrate speed by `rule` and deviation by the trapezoidal one; Diverged if it is not finite."""
    times = torch.linspace(0.0, t_end, points, dtype=torch.float64)
    with torch.no_grad():
        states = solve(f, x0, tuple(times.tolist()), solver)
        v = torch.stack([f(t.to(x0), x) for t, x in zip(times, states, strict=True)]).flatten(2)
    chord = (states[-1] - states[0]).flatten(1)
    grid = times.to(v)
    energy, deviation = path_energy(v, grid, rule), straightness(v, chord, grid)
    all_finite(torch.stack([energy, deviation], 1), "paths")
    return Paths(times, states, _mean(energy), _mean(deviation), tortuosity(states.flatten(2)))


def _mean(values: Tensor) -> tuple[float, float]:
    return float(values.mean()), float(values.std() / len(values) ** 0.5)
