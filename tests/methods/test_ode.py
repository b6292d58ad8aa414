"""Solving: orders of convergence, and honest counts."""

import itertools
import math

import pytest
import torch
from oracles import GaussianMixture, Watched, field
from torch import Tensor

from bench.errors import Diverged
from bench.methods.ode import ADAPTIVE, EVALUATIONS_A_STEP, Solver, solve
from bench.methods.paths import VariancePreserving

ORDER = {"euler": 1, "midpoint": 2, "heun2": 2, "heun3": 3, "rk4": 4}
TIGHT = Solver("dormand_prince", 1e-9, 1e-9)
ONE = torch.ones(1, 1, dtype=torch.float64)


def swinging(t: Tensor, x: Tensor) -> Tensor:
    """x' = 3 cos(3 t) x, solved by exp(sin 3t)."""
    return 3 * torch.cos(3 * t) * x


@pytest.mark.parametrize("method", ORDER)
def test_fixed_step_solvers_converge_at_their_order(method: str) -> None:
    exact = math.exp(math.sin(3))
    errors = [abs(float(solve(swinging, ONE, (0.0, 1.0), Solver(method, steps=n))[-1]) - exact) for n in (256, 512)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(ORDER[method], abs=0.2)


@pytest.mark.parametrize("method", EVALUATIONS_A_STEP)
def test_fixed_step_solvers_count_their_evaluations(method: str) -> None:
    watched = Watched(swinging)
    solve(watched, ONE, (0.0, 1.0), Solver(method, steps=7))
    assert len(watched.times) == 7 * {"euler": 1, "midpoint": 2, "heun2": 2, "heun3": 3, "rk4": 4}[method]


@pytest.mark.parametrize(("method", "first"), [("dormand_prince", 1), ("dopri5", 2)])
def test_adaptive_steps_count_six_evaluations_and_the_first_one_or_two_more(method: str, first: int) -> None:
    def kinked(t: Tensor, x: Tensor) -> Tensor:
        return x * torch.where(t < 0.37, 1.0, -40.0)

    watched = Watched(kinked)
    solve(watched, ONE, (0.0, 1.0), Solver(method))
    assert len(watched.times) > first + 6 * 6 and len(watched.times) % 6 == first
    assert any(later < earlier for earlier, later in itertools.pairwise(watched.times))  # a step was rejected


@pytest.mark.parametrize("method", ADAPTIVE)
def test_adaptive_solvers_meet_their_tolerance(method: str) -> None:
    for tolerance in (1e-3, 1e-5):
        end = solve(swinging, ONE, (0.0, 1.0), Solver(method, tolerance, tolerance))[-1]
        assert abs(float(end) - math.exp(math.sin(3))) < 30 * tolerance


def test_further_output_times_cost_nothing_and_hit_the_solution() -> None:
    times = tuple(i / 20 for i in range(21))
    many, two = Watched(swinging), Watched(swinging)
    states, _ = solve(many, ONE, times, TIGHT), solve(two, ONE, (0.0, 1.0), TIGHT)
    assert many.times == two.times
    exact = torch.exp(torch.sin(3 * torch.tensor(times, dtype=torch.float64)))
    torch.testing.assert_close(states.flatten(), exact, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("solver", [TIGHT, Solver("dopri5", 1e-9, 1e-9), Solver("rk4", steps=100)])
def test_backwards_undoes_forwards(solver: Solver) -> None:
    end = solve(swinging, ONE, (0.2, 0.9), solver)[-1]
    back = solve(swinging, end, (0.9, 0.2), solver)[-1]
    torch.testing.assert_close(back, ONE, rtol=1e-6, atol=0)


VP_DATA = {
    "pair": GaussianMixture.pair(),
    # Its score at t = 0 is -x up to rounding: the field vanishes, and a step chosen by its size has no bound.
    "standard normal": GaussianMixture.single([0.0, 0.0], [1.0, 1.0]),
    "almost standard": GaussianMixture.single([1e-3, 0.0], [1.0, 1.001]),
}


@pytest.mark.parametrize("data", VP_DATA)
@pytest.mark.parametrize("backwards", [False, True])
def test_no_solver_evaluates_outside_the_interval(data: str, backwards: bool) -> None:
    path = VariancePreserving()
    watched = Watched(field(VP_DATA[data], path))
    x = torch.randn(16, 2, generator=torch.Generator().manual_seed(0))
    times = (path.t_end, 0.0) if backwards else (0.0, path.t_end)
    for solver in (Solver(), Solver("dopri5"), Solver("bosh3", 1e-2, 1e-2), Solver("rk4", steps=5)):
        assert torch.isfinite(solve(watched, x, times, solver)).all()
    rounding = 1e-7  # the state's single precision
    assert min(watched.times) >= 0 and max(watched.times) <= path.t_end + rounding


def test_adjoint_evaluates_inside_the_interval() -> None:
    weight = torch.tensor(0.3, requires_grad=True)
    watched = Watched(lambda t, x: -weight * x)
    solve(watched, torch.ones(2, 1), (1.0, 0.0), Solver(), adjoint_params=(weight,))[-1].sum().backward()
    assert weight.grad is not None
    assert float(weight.grad) == pytest.approx(2 * math.exp(0.3), rel=1e-4)
    assert min(watched.times) >= 0 and max(watched.times) <= 1


@pytest.mark.parametrize("solver", [Solver(), Solver("dopri5"), Solver("rk4", steps=20)])
def test_a_solution_that_blows_up_is_diverged(solver: Solver) -> None:
    with pytest.raises(Diverged, match=solver.method):
        solve(lambda t, x: 5 * x**2, torch.ones(3, 2), (0.0, 1.0), solver)
    with pytest.raises(Diverged, match=solver.method):
        solve(lambda t, x: x * math.nan, torch.ones(3, 2), (0.0, 1.0), solver)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "dopri"}, "'dopri': allowed are dormand_prince, dopri5, dopri8"),
        ({"method": "euler"}, "steps=None"),
        ({"method": "dopri5", "steps": 10}, "steps=10"),
    ],
)
def test_solvers_that_make_no_sense_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Solver(**arguments)  # type: ignore[arg-type]


def test_a_record_quotes_what_matters_of_a_solver() -> None:
    assert Solver("rk4", steps=3).settings() == {"solver": "rk4", "steps": 3}
    assert Solver("dormand_prince", 1e-3, 1e-4).settings() == {"solver": "dormand_prince", "rtol": 1e-3, "atol": 1e-4}
