"""Solvers of the ODE as samplers: steps on a time grid, or tolerances.

A path that is singular at t = 1 (the VP diffusion: sigma' is infinite) stops just before it, where a velocity is huge
times the error of the network. heun2 and rk4 evaluate where a step ends, so that their last step there is an open one
of as many evaluations and of an error that leaves their order: for heun2 the midpoint rule, and for rk4

    k1 = v(t, x)    k2 = v(t + h/4, x + h/4 k1)    k3 = v(t + h/2, x + h/2 k1)    k4 = v(t + 3h/4, x + h/4 k1 + h/2 k3)
    x + h/3 (2 k2 - k3 + 2 k4),

Milne's open rule, which meets each condition of order 4 but one (b A A c = 1/24; four stages that do end at t + h).
`last_step = "own"` has the method's own step back.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from bench.config.registry import samplers
from bench.config.settings import Rate
from bench.errors import Diverged
from bench.methods.model import Model
from bench.methods.ode import EVALUATIONS_A_STEP, Solver, solve
from bench.methods.sampler import Sampler, register_sampler
from bench.samplers.gridded import Gridded


@dataclass(frozen=True)
class FixedSteps(Gridded):
    needs = ("velocity",)

    def settings(self, model: Model) -> dict[str, Any]:
        found: dict[str, Any] = Solver(self.name, steps=self.steps).settings()
        if self.grid != "uniform":
            found["grid"] = self.grid
        return {**found, "rho": self.rho} if self.grid == "karras" else found

    def sample(self, model: Model, x0: Tensor, rng: torch.Generator) -> Tensor:
        # Without a grid of its own the solver makes equal steps.
        own = self.ends(model, x0) if self.grid != "uniform" else None
        return solve(model.having("velocity"), x0, (0.0, model.t_end), Solver(self.name, steps=self.steps), own)[-1]


@dataclass(frozen=True)
class AtBothEnds(FixedSteps):
    """A method that evaluates at both ends of a step."""

    last_step: Literal["open", "own"] = "open"

    def opens(self, model: Model) -> bool:
        """Whether the last step is an open one: the model's path is singular at t = 1."""
        return self.last_step == "open" and model.t_end < 1

    @abstractmethod
    def open_step(self, f: Callable[[float, Tensor], Tensor], x: Tensor, h: float) -> Tensor:
        """x at the end of a step of length h; f takes the share of the step for the time."""

    def settings(self, model: Model) -> dict[str, Any]:
        found = super().settings(model)
        return {**found, "last_step": "open"} if self.opens(model) else found

    def sample(self, model: Model, x0: Tensor, rng: torch.Generator) -> Tensor:
        if not self.opens(model):
            return super().sample(model, x0, rng)
        f, x, times = model.having("velocity"), x0, self.ends(model, x0)
        last = float(times[-2])
        if self.steps > 1:
            x = solve(f, x, (0.0, last), Solver(self.name, steps=self.steps - 1), times[:-1])[-1]
        h = model.t_end - last
        x = self.open_step(lambda share, y: f(y.new_tensor(last + share * h), y), x, h)
        if not torch.isfinite(x).all():
            raise Diverged(f"{self.name}: the solution is not finite at t = {model.t_end:g}")
        return x


@dataclass(frozen=True)
class Adaptive(Sampler):
    needs = ("velocity",)
    rtol: Rate = 1e-5
    atol: Rate = 1e-5

    def settings(self, model: Model) -> dict[str, Any]:
        return Solver(self.name, self.rtol, self.atol).settings()

    def sample(self, model: Model, x0: Tensor, rng: torch.Generator) -> Tensor:
        return solve(model.having("velocity"), x0, (0.0, model.t_end), Solver(self.name, self.rtol, self.atol))[-1]


@register_sampler("euler")
class Euler(FixedSteps):
    """x + h v(t, x)."""

    order = 1


@register_sampler("midpoint")
class Midpoint(FixedSteps):
    """The velocity half a step ahead."""

    order = 2
    evaluations_a_step = EVALUATIONS_A_STEP["midpoint"]


@register_sampler("heun2")
class Heun2(AtBothEnds):
    """The mean of the velocities at both ends of a step."""

    order = 2
    evaluations_a_step = EVALUATIONS_A_STEP["heun2"]

    def open_step(self, f: Callable[[float, Tensor], Tensor], x: Tensor, h: float) -> Tensor:
        return x + h * f(1 / 2, x + h / 2 * f(0, x))


@register_sampler("heun3")
class Heun3(FixedSteps):
    """Velocities at 0, 1/3 and 2/3 of a step."""

    order = 3
    evaluations_a_step = EVALUATIONS_A_STEP["heun3"]


@register_sampler("rk4")
class RK4(AtBothEnds):
    """Runge and Kutta's method in its 3/8 form."""

    order = 4
    evaluations_a_step = EVALUATIONS_A_STEP["rk4"]

    def open_step(self, f: Callable[[float, Tensor], Tensor], x: Tensor, h: float) -> Tensor:
        k1 = f(0, x)
        k2 = f(1 / 4, x + h / 4 * k1)
        k3 = f(1 / 2, x + h / 2 * k1)
        k4 = f(3 / 4, x + h / 4 * k1 + h / 2 * k3)
        return x + h / 3 * (2 * k2 - k3 + 2 * k4)


@register_sampler("dormand_prince")
class DormandPrince(Adaptive):
    """Dormand and Prince's 5(4), whose steps end where the path does."""

    order = 5


@register_sampler("dopri5")
class Dopri5(Adaptive):
    """The same method by torchdiffeq, as papers use it."""

    order = 5


@register_sampler("dopri8")
class Dopri8(Adaptive):
    """Dormand and Prince's 8(7), for tight tolerances."""

    order = 8


@register_sampler("bosh3")
class Bosh3(Adaptive):
    """Bogacki and Shampine's 3(2), for loose tolerances."""

    order = 3


@register_sampler("adaptive_heun")
class AdaptiveHeun(Adaptive):
    """Heun's method with the Euler step as its error estimate."""

    order = 2


def sampler_of(solver: Solver) -> Sampler:
    options = ("steps",) if solver.steps is not None else ("rtol", "atol")
    sampler: Sampler = samplers[solver.method](**{name: getattr(solver, name) for name in options})
    return sampler
