"""The log-density that an ODE dx/dt = v(t, x) transports, and the divergence that it takes.

Along a solution d log p_t(x_t) / dt = -div v(t, x_t), so with x_1 = x

    log p_1(x) = log p_0(x_0) - int_0^1 div v(t, x_t) dt,

where x_0 solves the ODE backwards from x (Chen et al. 2018) and p_0 is N(0, I), or what a caller gives. The divergence
is exact (one reverse pass per dimension) or Hutchinson's estimate z^T (dv/dx) z with E z z^T = I, z drawn once per
solve (Grathwohl et al. 2019).
"""

import math
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from bench.methods.memory import Memory
from bench.methods.ode import Solver, VelocityField, solve

# Of one reverse pass on the CPU: fewer are overhead, more fall out of the cache (tests/perf/divergence.py).
ROWS = 1024


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
    """v = f(t, x) (B, ...), vectors z, and the products z^T (dv/dx), each of the shape of x.

    The vectors are the probes (M, B, ...), or the unit vectors, which gives the rows of the Jacobian. With
    `create_graph` a loss made of the products can be differentiated.
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


def log_normal(x: Tensor) -> Tensor:
    """log N(x; 0, I) in nats, x (B, ...) -> (B,)."""
    return -0.5 * (x.flatten(1).square().sum(1) + x[0].numel() * math.log(2 * math.pi))


class Density(NamedTuple):
    """log p(x) in nats (B,), and the variance of that mean over the probes, by their spread: NaN for one probe."""

    log_p: Tensor
    variance: Tensor


def log_density(
    f: VelocityField,
    x: Tensor,
    t_end: float,
    solver: Solver,
    probes: Tensor | None = None,
    memory: Memory | None = None,
    prior: Callable[[Tensor], Tensor] = log_normal,
) -> Density:
    """log p(x) in nats of x (B, ...) at t_end under the flow of f from p_0, of log-density `prior`; without a gradient.

    The divergence is exact, or estimated by `probes` (M, B, ...). The whole batch is solved with common steps, of which
    `memory` holds as many rows at once as it can. Diverged as `solve` has it.
    """
    dim = x[0].numel()
    memory = memory or Memory()

    def slopes(t: Tensor, state: Tensor, integrals: bool = True) -> Tensor:
        def of_rows(rows: slice) -> Tensor:
            part = state[rows, :dim].reshape(-1, *x.shape[1:])
            if not integrals:
                return torch.cat([f(t, part).flatten(1), torch.zeros_like(state[rows, dim:])], 1)
            v, found = traces(f, t, part, None if probes is None else probes[:, rows])
            return torch.cat([v.flatten(1), found.T], 1)

        return memory.rowwise(of_rows, len(state))

    start = torch.cat([x.flatten(1), x.new_zeros(len(x), 1 if probes is None else len(probes))], 1)
    with torch.no_grad():
        states = solve(slopes, start, (t_end, 0.0), solver, without_integrals=partial(slopes, integrals=False))
    x0, integrals = states[-1].split([dim, start.shape[1] - dim], 1)
    spread = probes is not None and len(probes) > 1
    unknown = torch.full_like(integrals[:, 0], 0.0 if probes is None else math.nan)
    variance = integrals.var(1) / integrals.shape[1] if spread else unknown
    return Density(prior(x0.reshape(x.shape)) + integrals.mean(1), variance)
