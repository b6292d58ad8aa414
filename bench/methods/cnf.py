"""Maximum likelihood through the solver: log p(x) with a gradient to the network's parameters.

The state (x, log-determinant[, kinetic energy, Jacobian energy]) runs from data at t = 1 back to noise at t = 0 along

    d/dt = ( v, div v, |v|^2, |z^T dv/dx|^2 )                      (Grathwohl et al. 2019; Finlay et al. 2020)

The gradient comes from backpropagation through the accepted steps of bench/methods/dormand_prince.py, or from
torchdiffeq's adjoint, which keeps one step in memory and evaluates twice as often. Equal steps of RK4, as RNODE's
authors train with, go through torchdiffeq either way.
Where a network of t and x alone is compiled the whole solver step is compiled with it: compiled code has no second
derivative of its own, so torch.func traces the products. One that is told more is not compiled.
Measured in tests/perf/cnf_step.py.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from bench.config.settings import Rate
from bench.methods.density import jacobian_products, log_normal, rademacher, unit_vectors
from bench.methods.dormand_prince import ERROR, NAME, NODES, WEIGHTS, accepted
from bench.methods.flow import FlowBaseline
from bench.methods.network import CountedNetwork, Network
from bench.methods.ode import Solver, VelocityField, solve

Derivative = Callable[..., Tensor]
Step = Callable[..., tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True)
class Flow:
    """Of every sample (B,): log p(x) in nats, and the energies int |v|^2 dt and int |dv/dx|_F^2 dt, or NaN."""

    log_p: Tensor
    kinetic: Tensor
    jacobian: Tensor


def flow(
    velocity: Callable[[Network], VelocityField],
    net: Network,
    x: Tensor,
    solver: Solver,
    probes: Tensor | None = None,
    adjoint: bool = False,
    energies: bool = True,
) -> Flow:
    """Differentiable log-density of x (B, ...) under velocity(net) on [0, 1], and RNODE's two energies.

    The divergence and |dv/dx|_F are exact, or estimated by probes (M, B, ...). The energies cost a tenth of the time.
    A network that counts counts the backward evaluations of the adjoint too, which is torchdiffeq's as is its solver.
    Diverged as `solve` has it.
    """
    dim = x[0].numel()
    state = torch.cat([x.flatten(1), x.new_zeros(len(x), 3 if energies else 1)], 1)
    eager = net.eager if isinstance(net, CountedNetwork) else net  # compiled calls have no second derivative
    if adjoint or solver.method != NAME:
        derivative = derivative_of(velocity(eager), x.shape[1:], functional=False)
        module = net.module if isinstance(net, CountedNetwork) else net
        params = tuple(module.parameters()) if isinstance(module, nn.Module) else ()
        rates = lambda t, s: derivative(t, s, probes)  # noqa: E731
        end = solve(rates, state, (1.0, 0.0), solver, adjoint_params=params if adjoint else None)[-1]
    elif isinstance(net, CountedNetwork) and net.compiled and not net.takes_more:
        if net.flow is None:  # compiled once, and kept with the network; the derivative counts
            first, others = (derivative_of(velocity(n), x.shape[1:], functional=True) for n in (net.eager, net.module))
            net.flow = first, torch.compile(solver_step(others, dim + 1))
        derivative, step = net.flow
        before = net.rows
        end, nfe = _integrate(derivative, step, state, probes, solver)
        net.rows += (net.rows - before) * (nfe - 1)  # compiled steps do not count, the one evaluation before them does
    else:
        derivative = derivative_of(velocity(eager), x.shape[1:], functional=False)
        end, _ = _integrate(derivative, solver_step(derivative, dim + 1), state, probes, solver)
    log_p = log_normal(end[:, :dim]) + end[:, dim]
    if not energies:
        absent = torch.full_like(log_p, math.nan)
        return Flow(log_p, absent, absent)
    # Integrated from 1 down to 0, the two energies come out negative.
    return Flow(log_p, -end[:, dim + 1], -end[:, dim + 2])


def derivative_of(f: VelocityField, shape: torch.Size, functional: bool) -> Derivative:
    """The right-hand side above as a function of (t, state, probes), by autograd or (`functional`) by torch.func.

    The energies are among it where the state has columns for them. Without `integrands` all but v is left at zero.
    """
    dim = shape.numel()

    def derivative(t: Tensor, state: Tensor, probes: Tensor | None, integrands: bool = True) -> Tensor:
        x = state[:, :dim].reshape(-1, *shape)
        if not integrands:
            return torch.cat([f(t, x).flatten(1), torch.zeros_like(state[:, dim:])], 1)
        if functional:
            with sdpa_kernel(SDPBackend.MATH):  # as in jacobian_products
                v, pull = torch.func.vjp(lambda y: f(t, y), x)[:2]
                vectors = list(probes) if probes is not None else unit_vectors(x)
                products = [pull(z)[0] for z in vectors]
        else:
            v, vectors, products = jacobian_products(f, t, x, probes, create_graph=True)
        count = 1 if probes is None else len(vectors)
        v, flat = v.flatten(1), [p.flatten(1) for p in products]
        if probes is None:
            trace = sum(p[:, i] for i, p in enumerate(flat))
        else:
            trace = sum((z.flatten(1) * p).sum(1) for z, p in zip(vectors, flat, strict=True)) / count
        rates = [trace]
        if state.shape[1] > dim + 1:
            rates += [v.square().sum(1), sum(p.square().sum(1) for p in flat) / count]
        return torch.cat([v, torch.stack(rates, 1)], 1)

    return derivative


def solver_step(derivative: Derivative, controlled: int) -> Step:
    """One step: (t, h, y, k1, probes, rtol, atol) -> next y, its derivative, and the error over the tolerance.

    The error is that of the first `controlled` columns: the flow and its log-density set the step, and the energies,
    which are regularisers, do not.
    """

    def step(
        t: Tensor, h: Tensor, y: Tensor, k1: Tensor, probes: Tensor | None, rtol: float, atol: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        ks, new = [k1], y
        for node, weights, weight in zip(NODES, WEIGHTS, ERROR[1:], strict=True):
            new = y + h * sum(w * k for w, k in zip(weights, ks, strict=True) if w)
            # Nothing depends on the integrals, so an integrand counts only where the solution or its error weighs it.
            ks.append(derivative(t + node * h, new, probes, integrands=weight != 0))
        with torch.no_grad():
            error = h * sum(w * k for w, k in zip(ERROR, ks, strict=True) if w)
            ratio = error / (atol + rtol * torch.maximum(y.abs(), new.abs()))
            return new, ks[-1], ratio[:, :controlled].square().mean().sqrt()

    return step


def _integrate(
    derivative: Derivative, step: Step, y: Tensor, probes: Tensor | None, solver: Solver
) -> tuple[Tensor, int]:
    """State at t = 0 from the state at t = 1, and the number of evaluations."""
    nfe = 1

    def attempt(t: float, h: float, y: Tensor, slope: Tensor) -> tuple[Tensor, Sequence[Tensor], Tensor]:
        nonlocal nfe
        nfe += len(NODES)
        end, last, error = step(y.new_tensor(t), y.new_tensor(h), y, slope, probes, solver.rtol, solver.atol)
        return end, [last], error

    slope = derivative(y.new_tensor(1.0), y, probes)
    for one in accepted(attempt, y, slope, 1.0, 0.0):
        y = one.end
    return y, nfe


@dataclass(frozen=True)
class SimulatedBaseline(FlowBaseline):
    """A flow trained by maximum likelihood, with an ODE solve in every loss: the options of that solve.

    `rk4_steps` equal steps of RK4 take the place of the adaptive ones if they are not 0. Such a solve does not know its
    error, so the loss is what the solver finds and not the model's likelihood; evaluation is by its own solver all the
    same.
    """

    needs_gaussian = True
    rowwise = False  # the solver's steps hang on the whole batch

    rtol: Rate = 1e-5
    atol: Rate = 1e-5
    exact_up_to: Annotated[int, Field(ge=0)] = 8  # dimensions with the exact divergence, Hutchinson's estimate above
    adjoint: bool = False
    rk4_steps: Annotated[int, Field(ge=0)] = 0

    def check_options(self) -> None:
        super().check_options()
        if self.rk4_steps:
            self.unused("rtol", "atol", needs="rk4_steps = 0")

    def flow(self, net: Network, x1: Tensor, rng: torch.Generator, energies: bool = False) -> Flow:
        """Differentiable log-density of x1 (B, ...), with a fresh probe where the divergence is estimated."""
        probes = None if x1[0].numel() <= self.exact_up_to else rademacher(x1, rng)
        solver = Solver("rk4", steps=self.rk4_steps) if self.rk4_steps else Solver(NAME, self.rtol, self.atol)
        return flow(self.velocity, net, x1, solver, probes, self.adjoint, energies)
