"""Solvers of the ODE as samplers: steps on a time grid, or tolerances.

A path that is singular at t = 1 (the VP diffusion: sigma' is infinite) stops just before it, where a velocity is huge
times the error of the network. heun2 and rk4 evaluate where a step ends. There their last step is made of midpoint
steps, one and two of them: as many evaluations, none of them at the end. Orders 2 and 3 remain where the field is
smooth; `last_step = "own"` has the method's own step back.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from bench.config.settings import Positive, Rate
from bench.methods.model import Model
from bench.methods.ode import EVALUATIONS_A_STEP, Solver, solve
from bench.methods.sampler import Sampler, register_sampler
from bench.samplers.grids import Grid, ends


@dataclass(frozen=True)
class FixedSteps(Sampler):
    needs = ("velocity",)
    steps: Positive = 20
    grid: Grid = "uniform"
    rho: Rate = 7.0

    def settings(self, model: Model) -> dict[str, Any]:
        found: dict[str, Any] = Solver(self.name, steps=self.steps).settings()
        if self.grid != "uniform":
            found["grid"] = self.grid
        return {**found, "rho": self.rho} if self.grid == "karras" else found

    def sample(self, model: Model, x0: Tensor, rng: torch.Generator) -> Tensor:
        # Without a grid of its own the solver makes equal steps.
        own = self.ends(model, x0) if self.grid != "uniform" else None
        return solve(model.having("velocity"), x0, (0.0, model.t_end), Solver(self.name, steps=self.steps), own).x[-1]

    def ends(self, model: Model, x0: Tensor) -> Tensor:
        return ends(self.grid, self.steps, self.rho, model, x0.device)


@dataclass(frozen=True)
class AtBothEnds(FixedSteps):
    """A method that evaluates at both ends of a step."""

    last_step: Literal["midpoint", "own"] = "midpoint"

    def opens(self, model: Model) -> bool:
        """Whether the last step is made of midpoint steps: the model's path is singular at t = 1."""
        return self.last_step == "midpoint" and model.t_end < 1

    def settings(self, model: Model) -> dict[str, Any]:
        found = super().settings(model)
        return {**found, "last_step": "midpoint"} if self.opens(model) else found

    def sample(self, model: Model, x0: Tensor, rng: torch.Generator) -> Tensor:
        if not self.opens(model):
            return super().sample(model, x0, rng)
        f, x, times = model.having("velocity"), x0, self.ends(model, x0)
        last = float(times[-2])
        if self.steps > 1:
            x = solve(f, x, (0.0, last), Solver(self.name, steps=self.steps - 1), times[:-1]).x[-1]
        parts = self.evaluations_a_step // EVALUATIONS_A_STEP["midpoint"]
        return solve(f, x, (last, model.t_end), Solver("midpoint", steps=parts)).x[-1]


@dataclass(frozen=True)
class Adaptive(Sampler):
    needs = ("velocity",)
    rtol: Rate = 1e-5
    atol: Rate = 1e-5

    def settings(self, model: Model) -> dict[str, Any]:
        return Solver(self.name, self.rtol, self.atol).settings()

    def sample(self, model: Model, x0: Tensor, rng: torch.Generator) -> Tensor:
        return solve(model.having("velocity"), x0, (0.0, model.t_end), Solver(self.name, self.rtol, self.atol)).x[-1]


@register_sampler("euler")
class Euler(FixedSteps):
    """x + h v(t, x): order 1."""


@register_sampler("midpoint")
class Midpoint(FixedSteps):
    """The velocity half a step ahead: order 2."""

    evaluations_a_step = EVALUATIONS_A_STEP["midpoint"]


@register_sampler("heun2")
class Heun2(AtBothEnds):
    """The mean of the velocities at both ends of a step: order 2."""

    evaluations_a_step = EVALUATIONS_A_STEP["heun2"]


@register_sampler("heun3")
class Heun3(FixedSteps):
    """Velocities at 0, 1/3 and 2/3 of a step: order 3."""

    evaluations_a_step = EVALUATIONS_A_STEP["heun3"]


@register_sampler("rk4")
class RK4(AtBothEnds):
    """Runge and Kutta's method in its 3/8 form: order 4."""

    evaluations_a_step = EVALUATIONS_A_STEP["rk4"]


@register_sampler("dopri5")
class Dopri5(Adaptive):
    """Dormand and Prince's 5(4), the usual adaptive method."""


@register_sampler("dopri8")
class Dopri8(Adaptive):
    """Dormand and Prince's 8(7), for tight tolerances."""


@register_sampler("bosh3")
class Bosh3(Adaptive):
    """Bogacki and Shampine's 3(2), for loose tolerances."""


@register_sampler("adaptive_heun")
class AdaptiveHeun(Adaptive):
    """Heun's method with the Euler step as its error estimate."""


METHODS: dict[str, type[Sampler]] = {
    cls.name: cls for cls in (Euler, Midpoint, Heun2, Heun3, RK4, Dopri5, Dopri8, Bosh3, AdaptiveHeun)
}


def sampler_of(solver: Solver) -> Sampler:
    """The sampler that draws by a solver."""
    options = ("steps",) if solver.steps is not None else ("rtol", "atol")
    return METHODS[solver.method](**{name: getattr(solver, name) for name in options})
