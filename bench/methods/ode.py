"""Solving dx/dt = v(t, x) within the times that are asked for, by our own Dormand-Prince or by torchdiffeq.

What a solution costs is counted by the network (bench/methods/network.py), since a field may ask it more than once.
"""

import itertools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torchdiffeq import odeint, odeint_adjoint

from bench.errors import Diverged, UsageError
from bench.methods.dormand_prince import MAX_STEPS, NAME, integrate, inwards

VelocityField = Callable[[Tensor, Tensor], Tensor]

# "dopri5" is torchdiffeq's, as in papers: the same method, whose steps it chooses otherwise.
ADAPTIVE = (NAME, "dopri5", "dopri8", "bosh3", "adaptive_heun")
EVALUATIONS_A_STEP = {"euler": 1, "midpoint": 2, "heun2": 2, "heun3": 3, "rk4": 4}


@dataclass(frozen=True)
class Solver:
    """An adaptive method with its tolerances, or a fixed-step one (`steps` equal steps)."""

    method: str = NAME
    rtol: float = 1e-5
    atol: float = 1e-5
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.method not in (*ADAPTIVE, *EVALUATIONS_A_STEP):
            raise UsageError(f"solver {self.method!r}: allowed are {', '.join((*ADAPTIVE, *EVALUATIONS_A_STEP))}")
        if (self.method in EVALUATIONS_A_STEP) != (self.steps is not None):
            raise UsageError(f"solver {self.method!r} with steps={self.steps}: steps are for the fixed-step methods")

    def settings(self) -> dict[str, Any]:
        """What a record quotes of this solver."""
        relevant = ("method", "steps") if self.steps is not None else ("method", "rtol", "atol")
        return {("solver" if k == "method" else k): v for k, v in asdict(self).items() if k in relevant}


def solve(
    f: VelocityField,
    x: Tensor,
    times: tuple[float, ...],
    solver: Solver,
    ends: Tensor | None = None,
    adjoint_params: tuple[Tensor, ...] | None = None,
    without_integrals: VelocityField | None = None,
) -> Tensor:
    """States of dx/dt = f(t, x) at the times (ascending or descending), stacked in front, from x at the first one.

    A fixed-step solver divides [times[0], times[-1]] evenly, or at `ends`, float64 (steps + 1,), and interpolates
    between. The gradient goes through the steps, or to `adjoint_params` by the adjoint method, which is torchdiffeq's.
    `without_integrals` spares evaluations of our own solver (`integrate`).
    Diverged if the state stopped being finite, the step underflowed, or MAX_STEPS were not enough. UsageError if the
    times do not move.
    """
    moves = {(later > earlier) - (later < earlier) for earlier, later in itertools.pairwise(times)}
    if moves not in ({1}, {-1}):
        raise UsageError(f"solve: times = {list(times)}: expected two or more, strictly ascending or descending")
    if solver.method == NAME and adjoint_params is None:
        return integrate(f, x, times, solver.rtol, solver.atol, without_integrals)
    method = "dopri5" if solver.method == NAME else solver.method
    first, last = inwards(min(times), max(times), x.dtype)

    def inside(t: Tensor, x: Tensor) -> Tensor:
        # torchdiffeq looks for its first step by evaluating as far ahead as |x| / |v| suggests, which has no bound
        # where the field nearly vanishes, and a path need not exist beyond its end.
        return f(t.clamp(first, last), x)

    grid = torch.tensor(times, dtype=torch.float64, device=x.device)
    options: dict[str, Any]
    if solver.steps is None:
        # A step that ends on the last time (of the adjoint: the first): else the solver goes beyond and interpolates.
        options = {"step_t": grid[[0, -1]], "max_num_steps": MAX_STEPS}
    else:
        shares = torch.linspace(0, 1, solver.steps + 1, dtype=torch.float64, device=x.device)
        # An adjoint's t is reversed.
        options = {"grid_constructor": lambda _f, _x, t: torch.lerp(t[0], t[-1], shares) if ends is None else ends}
    keywords: dict[str, Any] = {"rtol": solver.rtol, "atol": solver.atol, "method": method, "options": options}
    try:
        if adjoint_params is None:
            states: Tensor = odeint(inside, x, grid, **keywords)
        else:
            states = odeint_adjoint(inside, x, grid, adjoint_params=adjoint_params, **keywords)
    except AssertionError as error:  # how torchdiffeq reports underflow, non-finite states and too many steps
        raise Diverged(f"{method}: {str(error).splitlines()[0][:120]}") from error
    if not torch.isfinite(states[-1]).all():
        raise Diverged(f"{method}: the solution is not finite at t = {times[-1]:g}")
    return states
