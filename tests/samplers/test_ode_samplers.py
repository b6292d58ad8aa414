"""Samplers of the ODE: orders on fields with closed forms, and the last step on a path that is singular at its end."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from oracles import GaussianMixture, Watched, field
from torch import Tensor

from bench.config.registry import samplers
from bench.methods.model import Model
from bench.methods.ode import ADAPTIVE, EVALUATIONS_A_STEP, Solver, solve
from bench.methods.paths import OptimalTransport, VariancePreserving
from bench.samplers.grids import Grid
from bench.samplers.ode import RK4, AtBothEnds, Dopri5, DormandPrince, Euler, Heun2, Heun3, Midpoint, sampler_of

FIXED = {"euler": 1, "midpoint": 2, "heun2": 2, "heun3": 3, "rk4": 4}
ONE = torch.ones(1, 1, dtype=torch.float64)
RNG = torch.Generator()
VP = VariancePreserving()


def swinging(t: Tensor, x: Tensor) -> Tensor:
    """x' = 2 cos(5 t) x, solved by exp(0.4 sin 5t)."""
    return 2 * torch.cos(5 * t) * x


class Between(OptimalTransport):
    """Noise levels from 10 to 1 / 9, of which none is cut off: the steps of each grid shrink together."""

    def alpha(self, t: Tensor) -> Tensor:
        return 0.1 + 0.8 * t

    def sigma(self, t: Tensor) -> Tensor:
        return 1 - 0.9 * t


def gaussian(variance: float, path: VariancePreserving = VP) -> tuple[Model, float]:
    """The exact field of N(0, variance) on a VP path, and what it makes of x0 = 1: the ratio of the deviations."""
    model = Model(field(GaussianMixture.single([0.0], [variance]), path), path.t_end, path)
    start, end = (torch.tensor(t, dtype=torch.float64) for t in (0.0, path.t_end))
    deviation = [float(torch.sqrt(path.alpha(t) ** 2 * variance + path.sigma(t) ** 2)) for t in (start, end)]
    return model, deviation[1] / deviation[0]


@pytest.mark.parametrize("grid", ["uniform", "cosine", "logsnr", "karras"])
@pytest.mark.parametrize("method", FIXED)
def test_each_method_converges_at_its_order_on_each_grid(method: str, grid: Grid) -> None:
    model = Model(swinging, path=Between())
    errors = []
    for steps in (256, 512):
        x = samplers[method](steps=steps, grid=grid).draw(model, ONE, RNG)
        errors.append(abs(float(x) - math.exp(0.4 * math.sin(5))))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(FIXED[method], abs=0.2)


@pytest.mark.parametrize("name", (*ADAPTIVE, *EVALUATIONS_A_STEP))
def test_a_sampler_draws_bit_for_bit_what_its_solver_solves(name: str) -> None:
    model = Model(swinging)
    x0 = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    solver = Solver(name, steps=5) if name in FIXED else Solver(name, 1e-3, 1e-3)
    assert torch.equal(sampler_of(solver).draw(model, x0, RNG), solve(swinging, x0, (0.0, 1.0), solver)[-1])


@pytest.mark.parametrize("sampler", [Heun2(steps=1), Heun2(steps=7), RK4(steps=1), RK4(steps=7)], ids=str)
def test_no_evaluation_at_the_end_of_a_singular_path(sampler: AtBothEnds) -> None:
    model, _ = gaussian(1e-4)
    watched = Watched(model.having("velocity"))
    sampler.draw(replace(model, velocity=watched), ONE, RNG)
    assert len(watched.times) == sampler.steps * sampler.evaluations_a_step
    assert max(watched.times) == pytest.approx(VP.t_end - VP.t_end / sampler.steps / sampler.evaluations_a_step)
    own = Watched(model.having("velocity"))
    replace(sampler, last_step="own").draw(replace(model, velocity=own), ONE, RNG)
    assert max(own.times) == VP.t_end and len(own.times) == len(watched.times)


@pytest.mark.parametrize(("sampler", "order"), [(Heun2(), 2), (RK4(), 4)], ids=["heun2", "rk4"])
def test_an_open_last_step_keeps_the_order(sampler: AtBothEnds, order: int) -> None:
    model, exact = gaussian(0.25)
    errors = [abs(float(replace(sampler, steps=n).draw(model, ONE, RNG)) - exact) for n in (50, 100, 200)]
    assert all(math.log2(a / b) > order - 0.2 for a, b in pairwise(errors))


@pytest.mark.parametrize("sampler", [Heun2(), RK4()], ids=["heun2", "rk4"])
@pytest.mark.parametrize(("variance", "factor"), [(0.0, 500), (1e-4, 10)])
def test_the_end_dominates_the_error_no_more(sampler: AtBothEnds, variance: float, factor: float) -> None:
    """Data on a manifold have directions of no or little variance, in which the field is -x / (2 (1 - t)) near t = 1.

    A step to the end multiplies by up to h / (1 - t_end); measured at 10 steps of RK4, without variance: 28 and 0.02.
    """
    model, exact = gaussian(variance)

    def error(steps: int, last_step: str) -> float:
        return abs(float(replace(sampler, steps=steps, last_step=last_step).draw(model, ONE, RNG)) - exact)

    assert all(error(n, "own") > factor * error(n, "open") for n in (5, 15))
    assert error(10, "open") < 0.025 and error(160, "open") < error(40, "open") / 1.5


def test_settings_of_a_record_are_those_of_the_solver_and_what_differs() -> None:
    straight, singular = Model(swinging), gaussian(1.0)[0]
    assert RK4(steps=3).settings(straight) == {"solver": "rk4", "steps": 3}
    assert RK4(steps=3).settings(singular) == {"solver": "rk4", "steps": 3, "last_step": "open"}
    assert RK4(steps=3, last_step="own").settings(singular) == {"solver": "rk4", "steps": 3}
    assert Heun3(steps=3).settings(singular) == {"solver": "heun3", "steps": 3}
    assert Euler(steps=3, grid="cosine").settings(straight) == {"solver": "euler", "steps": 3, "grid": "cosine"}
    assert Midpoint(3, "karras", 5.0).settings(singular) == {
        "solver": "midpoint", "steps": 3, "grid": "karras", "rho": 5.0,
    }  # fmt: skip
    assert Dopri5(1e-3, 1e-4).settings(straight) == {"solver": "dopri5", "rtol": 1e-3, "atol": 1e-4}
    assert DormandPrince().settings(straight) == {"solver": "dormand_prince", "rtol": 1e-5, "atol": 1e-5}


def test_names_tell_options_and_accuracy() -> None:
    assert (RK4(steps=3).label, f"{RK4(steps=3)}") == ("rk4", "rk4-3")
    edm = samplers["edm"]
    assert [edm(churn=churn).label for churn in (10, 10.0, 0.25)] == ["edm-churn10", "edm-churn10", "edm-churn0.25"]
    assert f"{Midpoint(3, 'karras', 5.0)}" == "midpoint-karras-rho5-3"
    assert f"{Dopri5(1e-3, 1e-3)}" == "dopri5-0.001" and f"{Dopri5(1e-3, 1e-4)}" == "dopri5-0.001-0.0001"


def test_the_cost_of_a_step_is_the_solvers() -> None:
    assert {name: samplers[name].evaluations_a_step for name in FIXED} == EVALUATIONS_A_STEP
