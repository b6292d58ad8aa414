"""Solving dx/dt = v(t, x), with the statistics that a fair comparison needs, and the log-density it transports.

Along a solution d log p_t(x_t) / dt = -div v(t, x_t), so with p_0 = N(0, I) and x_1 = x

    log p_1(x) = log N(x_0; 0, I) - int_0^1 div v(t, x_t) dt,

where x_0 solves the ODE backwards from x (Chen et al. 2018). The divergence is exact (one reverse pass a dimension)
or Hutchinson's estimate z^T (dv/dx) z with E z z^T = I, z drawn once a solve (Grathwohl et al. 2019).

Every solution counts evaluations of v, not steps. The NFE of a record is counted by the network instead
(bench/methods/baseline.py), since a field may ask it more than once.
"""

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torchdiffeq import odeint, odeint_adjoint

from bench.errors import Diverged
from bench.methods.memory import Memory

VelocityField = Callable[[Tensor, Tensor], Tensor]

ADAPTIVE = ("dopri5", "dopri8", "bosh3", "adaptive_heun")
EVALUATIONS_A_STEP = {"euler": 1, "midpoint": 2, "heun2": 2, "heun3": 3, "rk4": 4}
MAX_STEPS = 10_000
# Of one reverse pass on the CPU: fewer are overhead, more fall out of the cache (tests/perf/divergence.py).
ROWS = 1024


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
    adjoint_params: tuple[Tensor, ...] | None = None,
) -> Solution:
    """Integrate dx/dt = f(t, x) from times[0] through the other times (ascending or descending).

    Args:
        f: called with a scalar t and x of its own shape.
        x: state at times[0].
        times: at least two; a fixed-step solver divides [times[0], times[-1]] evenly and interpolates between.
        solver: method and tolerances or steps.
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
        options = {"grid_constructor": lambda _f, _x, t: torch.lerp(t[0], t[-1], shares)}  # an adjoint's t is reversed
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


def rademacher(x: Tensor, rng: torch.Generator, probes: int = 1) -> Tensor:
    """Probes z with independent +-1 entries, shape (probes, *x.shape): the least variance of all with E z z^T = I."""
    shape = (probes, *x.shape)
    return torch.randint(0, 2, shape, generator=rng, device=x.device, dtype=x.dtype).mul_(2).sub_(1)


def unit_vectors(x: Tensor) -> list[Tensor]:
    """The unit vectors of the space of one sample of x (B, ...), each repeated over the batch."""
    eye = torch.eye(x[0].numel(), dtype=x.dtype, device=x.device)
    return [e.reshape(x.shape[1:]).expand_as(x) for e in eye]


def jacobian_products(
    f: VelocityField, t: Tensor, x: Tensor, probes: Tensor | None, create_graph: bool = False
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """v = f(t, x) with vector-Jacobian products z^T (dv/dx), one for every vector z.

    Args:
        x: (B, ...).
        probes: (M, B, ...), or None for the unit vectors, which gives the rows of the Jacobian.
        create_graph: keep the graph, so that a loss made of the products can be differentiated.

    Returns:
        v (B, ...), the vectors z, and the products, each of the shape of x.
    """
    vectors = list(probes) if probes is not None else unit_vectors(x)
    at_once = 1 if create_graph else min(len(vectors), len(vectors) if x.is_cuda else max(1, ROWS // len(x)))
    # The fused attention kernels have neither a second derivative nor one of several vectors; the plain one has both.
    plain = create_graph or at_once > 1
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
        if not x.requires_grad:
            x = x.detach().requires_grad_()
        v = f(t, x)
        products: list[Tensor] = []
        for i in range(0, len(vectors), at_once):
            part, keep = vectors[i : i + at_once], create_graph or i + at_once < len(vectors)
            if len(part) == 1:
                products += torch.autograd.grad(v, x, part, retain_graph=keep, create_graph=create_graph)
            else:
                (batch,) = torch.autograd.grad(v, x, torch.stack(part), retain_graph=keep, is_grads_batched=True)
                products += batch.unbind()
    return (v if create_graph else v.detach()), vectors, products


def traces(
    f: VelocityField, t: Tensor, x: Tensor, probes: Tensor | None = None, create_graph: bool = False
) -> tuple[Tensor, Tensor]:
    """v = f(t, x) and z^T (dv/dx) z of every probe, (M, B); the exact divergence, (1, B), where `probes` is None."""
    v, vectors, products = jacobian_products(f, t, x, probes, create_graph)
    if probes is None:
        diagonal = [p.flatten(1)[:, i] for i, p in enumerate(products)]
        return v, torch.stack(diagonal).sum(0, keepdim=True)
    return v, torch.stack([(z * p).flatten(1).sum(1) for z, p in zip(vectors, products, strict=True)])


def divergence(
    f: VelocityField, t: Tensor, x: Tensor, probes: Tensor | None = None, create_graph: bool = False
) -> tuple[Tensor, Tensor]:
    """v = f(t, x) and its divergence (B,): exact where `probes` is None, else the mean of z^T (dv/dx) z."""
    v, found = traces(f, t, x, probes, create_graph)
    return v, found.mean(0)


def log_normal(x: Tensor) -> Tensor:
    """log N(x; 0, I) in nats, x (B, ...) -> (B,)."""
    return -0.5 * (x.flatten(1).square().sum(1) + x[0].numel() * math.log(2 * math.pi))


@dataclass(frozen=True)
class Density:
    """log p(x) in nats (B,), its variance over the probes, the noise x0 that x comes from, and the evaluations of f.

    The variance is that of the mean over the M probes, estimated from their spread: not a number for one probe, zero
    for the exact divergence.
    """

    log_p: Tensor
    variance: Tensor
    x0: Tensor
    nfe: int


def log_density(
    f: VelocityField,
    x: Tensor,
    t_end: float,
    solver: Solver,
    probes: Tensor | None = None,
    memory: Memory | None = None,
) -> Density:
    """log p(x) under the flow of f from p_0 = N(0, I), for data at t_end; no gradient to the parameters.

    Args:
        f: velocity field, f(t, x) -> (B, ...).
        x: (B, ...), the whole batch is solved with common steps, of which memory holds as many rows at once as it can.
        probes: (M, B, ...) for Hutchinson's estimate, None for the exact divergence.
        memory: what other batches have found to have room.

    Raises:
        Diverged: see `solve`.
    """
    dim = x[0].numel()
    memory = memory or Memory()

    def augmented(t: Tensor, state: Tensor) -> Tensor:
        def rates(rows: slice) -> Tensor:
            part = state[rows, :dim].reshape(-1, *x.shape[1:])
            v, found = traces(f, t, part, None if probes is None else probes[:, rows])
            return torch.cat([v.flatten(1), found.T], 1)

        return memory.rowwise(rates, len(state))

    start = torch.cat([x.flatten(1), x.new_zeros(len(x), 1 if probes is None else len(probes))], 1)
    with torch.no_grad():
        solution = solve(augmented, start, (t_end, 0.0), solver)
    end, integrals = solution.x[-1].split([dim, start.shape[1] - dim], 1)
    x0 = end.reshape(x.shape)
    one = integrals[:, 0]
    if probes is None:
        variance = torch.zeros_like(one)
    else:
        variance = integrals.var(1) / len(probes) if len(probes) > 1 else torch.full_like(one, math.nan)
    return Density(log_normal(x0) + integrals.mean(1), variance, x0, solution.nfe)
