"""Optimal transport between samples and data, and the geometry of the paths between noise and samples.

W2^2(P, Q)   = min over couplings of E |x - y|^2, exact between two sets of n points (POT)
path energy  = E int |v(t, x_t)|^2 dt >= W2^2(p_0, p_1), with equality for optimal transport
NPE          = |path energy - W2^2(p_0, data)| / W2^2(p_0, data)                          (Tong et al. 2024)
straightness = E int |(x_1 - x_0) - v(t, x_t)|^2 dt, zero for straight lines at constant speed (Liu et al. 2023)
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.methods.finite import require
from bench.methods.ode import Solver, VelocityField, solve


def wasserstein2(x: Tensor, y: Tensor) -> float:
    """W2 between two sets of points (n, ...) and (m, ...) with uniform weights, in the units of the data.

    Raises:
        NotFinite: a point is not finite; the transport of such costs would cost nothing.
    """
    import ot

    require(x, "samples")
    require(y, "data points")
    cost = torch.cdist(x.flatten(1).double().cpu(), y.flatten(1).double().cpu()).square().numpy()
    return float(ot.emd2([], [], cost, numItermax=10**7)) ** 0.5


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
    energy = torch.trapezoid(v.square().sum(-1), grid, dim=0)
    deviation = torch.trapezoid((chord - v).square().sum(-1), grid, dim=0)
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
