"""Solving dx/dt = v(t, x), with the statistics that a fair comparison needs.

Every solution counts evaluations of v, not steps. The NFE of a record is counted by the network instead
(bench/methods/network.py), since a field may ask it more than once.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torchdiffeq import odeint, odeint_adjoint

from bench.errors import Diverged

VelocityField = Callable[[Tensor, Tensor], Tensor]

ADAPTIVE = ("dopri5", "dopri8", "bosh3", "adaptive_heun")
EVALUATIONS_A_STEP = {"euler": 1, "midpoint": 2, "heun2": 2, "heun3": 3, "rk4": 4}
MAX_STEPS = 10_000


@dataclass(frozen=True)
class Solver:
    """An adaptive method with its tolerances, or a fixed-step one (`steps` equal steps)."""

    method: str = "dopri5"
    rtol: float = 1e-5
    atol: float = 1e-5
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.method not in (*ADAPTIVE, *EVALUATIONS_A_STEP):
            raise ValueError(f"solver {self.method!r}: allowed are {', '.join((*ADAPTIVE, *EVALUATIONS_A_STEP))}")
        if (self.method in EVALUATIONS_A_STEP) != (self.steps is not None):
            raise ValueError(f"solver {self.method!r} with steps={self.steps}: steps are for the fixed-step methods")

    def settings(self) -> dict[str, Any]:
        """What a record quotes of this solver."""
        relevant = ("method", "steps") if self.steps is not None else ("method", "rtol", "atol")
        return {("solver" if k == "method" else k): v for k, v in asdict(self).items() if k in relevant}


@dataclass(frozen=True)
class Solution:
    """States at the requested times, stacked in front, and what they cost: `nfe` evaluations of the field."""

    x: Tensor
    nfe: int
    accepted: int
    rejected: int


class _Counted:
    """A velocity field that counts its evaluations, none of them outside the interval of its times.

    torchdiffeq looks for its first step by evaluating as far ahead as |x| / |v| suggests, which has no bound where the
    field nearly vanishes, and a path need not exist beyond its end.
    """

    def __init__(self, f: VelocityField, times: tuple[float, ...]) -> None:
        self.f = f
        self.first, self.last = min(times), max(times)
        self.nfe = self.accepted = self.rejected = 0

    def __call__(self, t: Tensor, x: Tensor) -> Tensor:
        self.nfe += 1
        return self.f(t.clamp(self.first, self.last), x)


class _CountedSteps(_Counted):
    """Counts an adaptive solver's accepted and rejected steps, too."""

    def callback_accept_step(self, t: Tensor, x: Tensor, dt: Tensor) -> None:
        self.accepted += 1

    def callback_reject_step(self, t: Tensor, x: Tensor, dt: Tensor) -> None:
        self.rejected += 1


def solve(
    f: VelocityField,
    x: Tensor,
    times: tuple[float, ...],
    solver: Solver,
    ends: Tensor | None = None,
    adjoint_params: tuple[Tensor, ...] | None = None,
) -> Solution:
    """Integrate dx/dt = f(t, x) from times[0] through the other times (ascending or descending).

    Args:
        f: called with a scalar t and x of its own shape.
        x: state at times[0].
        times: at least two; a fixed-step solver divides [times[0], times[-1]] evenly and interpolates between.
        solver: method and tolerances or steps.
        ends: where the steps of a fixed-step solver begin and end instead, float64 (steps + 1,).
        adjoint_params: backpropagate by the adjoint method to these parameters instead of through the steps.

    Raises:
        Diverged: the state stopped being finite, the step underflowed, or MAX_STEPS were not enough.
    """
    counted = _CountedSteps(f, times) if solver.steps is None else _Counted(f, times)
    grid = torch.tensor(times, dtype=torch.float64, device=x.device)
    options: dict[str, Any]
    if solver.steps is None:
        # A step that ends on the last time (of the adjoint: the first): else the solver goes beyond and interpolates.
        options = {"step_t": grid[[0, -1]], "max_num_steps": MAX_STEPS}
    else:
        shares = torch.linspace(0, 1, solver.steps + 1, dtype=torch.float64, device=x.device)
        # An adjoint's t is reversed.
        options = {"grid_constructor": lambda _f, _x, t: torch.lerp(t[0], t[-1], shares) if ends is None else ends}
    keywords: dict[str, Any] = {
        "rtol": solver.rtol,
        "atol": solver.atol,
        "method": solver.method,
        "options": options,
    }
    try:
        if adjoint_params is None:
            states = odeint(counted, x, grid, **keywords)
        else:
            states = odeint_adjoint(counted, x, grid, adjoint_params=adjoint_params, **keywords)
    except AssertionError as error:  # how torchdiffeq reports underflow, non-finite states and too many steps
        raise Diverged(f"{solver.method}: {str(error).splitlines()[0][:120]}") from error
    if not torch.isfinite(states[-1]).all():
        raise Diverged(f"{solver.method}: the solution is not finite at t = {times[-1]:g}")
    accepted = counted.accepted if solver.steps is None else solver.steps
    return Solution(states, counted.nfe, accepted, counted.rejected)
