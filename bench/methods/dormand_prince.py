"""Dormand and Prince's method of order 5(4), with a last step that ends on the last time.

A step of length h from (t, y) takes seven slopes, the first of which is the last of the step before:

    k_i = f(t + c_i h, y + h sum_j a_ij k_j),    y' = y + h sum_j a_7j k_j,    error = h sum_j e_j k_j.

It is accepted if the root mean square of error / (atol + rtol max(|y|, |y'|)) is 1 at most. Inside a step the solution
is the polynomial of order 4 through the same slopes (Shampine 1986), which costs no evaluation.
Sources: Dormand & Prince 1980; Hairer, Norsett & Wanner, Solving Ordinary Differential Equations I, II.4 to II.6.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bench.errors import Diverged

NAME = "dormand_prince"
# The weights a of the stages, their nodes c, and the difference e between the fifth- and fourth-order weights.
WEIGHTS = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
# Of each slope the coefficients of s, s^2, s^3 and s^4, where s is the share of a step.
INSIDE = (
    (1.0, -8048581381 / 2820520608, 8663915743 / 2820520608, -12715105075 / 11282082432),
    (0.0, 0.0, 0.0, 0.0),
    (0.0, 131558114200 / 32700410799, -68118460800 / 10900136933, 87487479700 / 32700410799),
    (0.0, -1754552775 / 470086768, 14199869525 / 1410260304, -10690763975 / 1880347072),
    (0.0, 127303824393 / 49829197408, -318862633887 / 49829197408, 701980252875 / 199316789632),
    (0.0, -282668133 / 205662961, 2019193451 / 616988883, -1453857185 / 822651844),
    (0.0, 40617522 / 29380423, -110615467 / 29380423, 69997945 / 29380423),
)
FIRST_STEP = 0.25
MAX_STEPS = 10_000

Field = Callable[[Tensor, Tensor], Tensor]
# (t, h, y, slope at t) -> y at t + h, slopes of which the last is that at t + h, and the error over the tolerance.
Attempt = Callable[[float, float, Tensor, Tensor], tuple[Tensor, Sequence[Tensor], Tensor]]


class Step(NamedTuple):
    """An accepted step from y at t to `end` at t + h."""

    t: float
    h: float
    y: Tensor
    end: Tensor
    slopes: Sequence[Tensor]

    def at(self, t: float) -> Tensor:
        """y at a time inside the step."""
        share = (t - self.t) / self.h
        weights = [sum(c * share**i for i, c in enumerate(row, 1)) for row in INSIDE]
        return combined(self.y, self.h, weights, self.slopes)


def accepted(attempt: Attempt, y: Tensor, slope: Tensor, start: float, stop: float) -> Iterator[Step]:
    """The accepted steps from y at `start` to `stop`; Diverged if one underflowed, or MAX_STEPS were not enough."""
    t, h = start, math.copysign(FIRST_STEP, stop - start)
    for _ in range(MAX_STEPS):
        # As many equal steps as are needed anyway: fewer are rejected than if the last took what is left.
        h = (stop - t) / math.ceil((stop - t) / h)
        end, slopes, error = attempt(t, h, y, slope)
        ratio = float(error)
        if ratio <= 1:
            yield Step(t, h, y, end, slopes)
            if h == stop - t:
                return
            t, y, slope = t + h, end, slopes[-1]
        elif t + 0.01 * h == t or abs(h) < 1e-8:
            raise Diverged(f"{NAME}: underflow of the step at t = {t:.6f}")
        # A ratio that is not a number fails both comparisons and takes the smallest factor.
        h *= min(10.0, max(0.2, 0.9 * max(ratio, 1e-10) ** -0.2)) if ratio < float("inf") else 0.2
    raise Diverged(f"{NAME}: {MAX_STEPS} steps were not enough")


def integrate(
    f: Field, x: Tensor, times: Sequence[float], rtol: float, atol: float, without_integrals: Field | None = None
) -> Tensor:
    """States of dx/dt = f(t, x) at the times (ascending or descending), stacked in front, from x at the first one.

    A state costs one evaluation, and six per attempted step, however many the times are. The gradient goes through the
    accepted steps. `without_integrals` is f with anything for the slopes of what f does not depend on: it takes the
    place of f at the one stage that neither the solution nor its error weighs. Diverged if x or f is not finite at the
    start, or the state at the last time, and as `accepted` has it.
    """
    start, stop = times[0], times[-1]
    low, high = inwards(min(start, stop), max(start, stop), x.dtype)

    def slope_at(t: float, y: Tensor, field: Field = f) -> Tensor:
        return field(y.new_full((), min(max(t, low), high)), y)

    def attempt(t: float, h: float, y: Tensor, slope: Tensor) -> tuple[Tensor, Sequence[Tensor], Tensor]:
        slopes, end = [slope], y
        for node, weights, weight in zip(NODES, WEIGHTS, ERROR[1:], strict=True):
            end = combined(y, h, weights, slopes)
            slopes.append(slope_at(t + node * h, end, f if weight else without_integrals or f))
        with torch.no_grad():
            allowed = torch.maximum(y.abs(), end.abs()).mul_(rtol).add_(atol)
            error = combined(torch.zeros_like(y), h, ERROR, slopes)
            return end, slopes, (error / allowed).square().mean().sqrt()

    slope = slope_at(start, x)
    for what, tensor in (("slope", slope), ("state", x)):
        if not torch.isfinite(tensor).all():
            raise Diverged(f"{NAME}: the {what} is not finite at t = {start:g}")
    states = [x]
    for step in accepted(attempt, x, slope, start, stop):
        reached = abs(step.t + step.h - start)
        while len(states) < len(times) - 1 and abs(times[len(states)] - start) <= reached:
            states.append(step.at(times[len(states)]))
    # An infinite state allows any error.
    if not torch.isfinite(step.end).all():
        raise Diverged(f"{NAME}: the state is not finite at t = {stop:g}")
    return torch.stack([*states, step.end])


def inwards(low: float, high: float, dtype: torch.dtype) -> tuple[float, float]:
    """The least and the greatest number of a type within [low, high], beyond which a path need not exist."""
    ends = []
    for end, inner in ((low, high), (high, low)):
        found = torch.tensor(end, dtype=dtype)
        is_outside = (float(found) - end) * (inner - end) < 0
        ends.append(float(torch.nextafter(found, found.new_tensor(inner)) if is_outside else found))
    return ends[0], ends[1]


def combined(y: Tensor, h: float, weights: Sequence[float], slopes: Sequence[Tensor]) -> Tensor:
    """y + h sum_j weights_j slopes_j."""
    for weight, slope in zip(weights, slopes, strict=True):
        if weight:
            y = torch.add(y, slope, alpha=h * weight)
    return y
