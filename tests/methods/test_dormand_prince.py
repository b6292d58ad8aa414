"""Our Dormand-Prince against torchdiffeq's on closed forms: errors, evaluations, and where it evaluates."""

import math
import statistics
from collections.abc import Callable

import pytest
import torch
from oracles import GaussianMixture, Watched, field, transported
from torch import Tensor

from bench.errors import Diverged, UsageError
from bench.methods.dormand_prince import INSIDE, WEIGHTS
from bench.methods.ode import Solver, VelocityField, solve
from bench.methods.paths import OptimalTransport, Path, VariancePreserving

TOLERANCES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
X = torch.randn(64, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Case = tuple[VelocityField, Tensor, Tensor, float, float]  # field, state at the first time, at the last, both times


def linear() -> Case:
    return lambda t, x: -x, X, X * math.exp(-1), 0.0, 1.0


def rotation() -> Case:
    turn = torch.tensor([[0.0, 2 * math.pi], [-2 * math.pi, 0.0]], dtype=torch.float64)
    return lambda t, x: x @ turn, torch.cat([X, X.flip(0)], 1), torch.cat([X, X.flip(0)], 1), 0.0, 1.0


def stiff() -> Case:
    """x' = -50 (x - cos t), whose solution is a slow one and exp(-50 t)."""

    def slow(t: float) -> float:
        return (2500 * math.cos(t) + 50 * math.sin(t)) / 2501

    return lambda t, x: -50 * (x - torch.cos(t)), X, slow(1.0) + (X - slow(0.0)) * math.exp(-50), 0.0, 1.0


def mixture(data: GaussianMixture, path: Path, backwards: bool = False) -> Case:
    end = transported(data, path, X)
    f = field(data, path)
    return (f, end, X, path.t_end, 0.0) if backwards else (f, X, end, 0.0, path.t_end)


ONE = GaussianMixture.single([1.0], [0.04])
NARROW = GaussianMixture.single([1.0], [1e-4])  # the field is stiff near the end
CASES: dict[str, Callable[[], Case]] = {
    "linear": linear,
    "rotation": rotation,
    "stiff": stiff,
    "Gaussian by OT": lambda: mixture(ONE, OptimalTransport()),
    "Gaussian by VP": lambda: mixture(ONE, VariancePreserving()),
    "narrow Gaussian by OT": lambda: mixture(NARROW, OptimalTransport()),
    "narrow Gaussian by VP": lambda: mixture(NARROW, VariancePreserving()),
    "pair by OT": lambda: mixture(GaussianMixture.line(), OptimalTransport()),
    "pair by VP": lambda: mixture(GaussianMixture.line(), VariancePreserving()),
    "pair by OT backwards": lambda: mixture(GaussianMixture.line(), OptimalTransport(), backwards=True),
    "pair by VP backwards": lambda: mixture(GaussianMixture.line(), VariancePreserving(), backwards=True),
}


def swinging(t: Tensor, x: Tensor) -> Tensor:
    """x' = 3 cos(3 t) x, solved by exp(sin 3t)."""
    return 3 * torch.cos(3 * t) * x


def measured(case: Case, method: str, tolerance: float) -> tuple[int, float]:
    """Evaluations, and the root mean square error at the last time."""
    f, x, exact, first, last = case
    watched = Watched(f)
    end = solve(watched, x, (first, last), Solver(method, tolerance, tolerance))[-1]
    assert min(watched.times) >= min(first, last) and max(watched.times) <= max(first, last)
    return len(watched.times), float((end - exact).square().mean().sqrt())


@pytest.mark.slow
def test_errors_are_no_larger_than_torchdiffeqs_at_no_more_evaluations() -> None:
    """In the median over the cases at each tolerance: single errors hang on where a step happens to end."""
    cases, spent = [make() for make in CASES.values()], [0, 0]
    for tolerance in TOLERANCES:
        ratios = []
        for case in cases:
            ours, theirs = (measured(case, method, tolerance) for method in ("dormand_prince", "dopri5"))
            ratios.append(ours[1] / theirs[1])
            spent = [spent[0] + ours[0], spent[1] + theirs[0]]
        assert statistics.median(ratios) <= 1, tolerance
    assert spent[0] <= spent[1]


@pytest.mark.parametrize("times", [(0.0, 0.1, 0.11, 0.45, 0.9, 1.0), (1.0, 0.999, 0.5, 0.2, 0.0)])
def test_states_between_are_no_worse_than_torchdiffeqs_and_cost_nothing(times: tuple[float, ...]) -> None:
    at = torch.tensor(times, dtype=torch.float64)
    exact = torch.exp(torch.sin(3 * at) - torch.sin(3 * at[0]))[:, None, None] * X
    errors = {}
    for method in ("dormand_prince", "dopri5"):
        many, two = Watched(swinging), Watched(swinging)
        states = solve(many, X, times, Solver(method, 1e-6, 1e-6))
        solve(two, X, (times[0], times[-1]), Solver(method, 1e-6, 1e-6))
        assert states.shape == exact.shape and torch.equal(states[0], X) and many.times == two.times
        errors[method] = float((states - exact).abs().max())
    assert errors["dormand_prince"] <= errors["dopri5"]


def test_the_polynomial_inside_a_step_ends_with_the_step() -> None:
    assert [sum(row) for row in INSIDE] == pytest.approx([*WEIGHTS[-1], 0.0], abs=1e-12)
    slopes = [sum(i * c for i, c in enumerate(row, 1)) for row in INSIDE]  # where a share of 1 has the last slope
    assert slopes == pytest.approx([0.0] * 6 + [1.0], abs=1e-12)


def test_the_gradient_goes_through_the_steps() -> None:
    rate = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    states = solve(lambda t, x: rate * x, X, (0.0, 0.3, 1.0), Solver(rtol=1e-8, atol=1e-8))
    for state, t in zip(states, (0.0, 0.3, 1.0), strict=True):
        (found,) = torch.autograd.grad(state.sum(), rate, retain_graph=True, allow_unused=True)
        expected = float(t * X.sum() * math.exp(0.7 * t))
        assert float(0.0 if found is None else found) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_the_step_takes_a_time_of_the_states_type_and_one_evaluation_before_six_a_step() -> None:
    seen = []

    def f(t: Tensor, x: Tensor) -> Tensor:
        seen.append((t.dtype, t.shape))
        return torch.zeros_like(x)

    assert torch.equal(solve(f, X.float(), (0.0, 0.2), Solver())[-1], X.float())
    assert seen == [(torch.float32, torch.Size([]))] * 7


def test_a_slope_that_is_not_finite_costs_one_evaluation() -> None:
    watched = Watched(lambda t, x: x * math.nan)
    with pytest.raises(Diverged, match="dormand_prince: the slope is not finite at t = 1"):
        solve(watched, X, (1.0, 0.0), Solver())
    assert watched.times == [1.0]


@pytest.mark.parametrize("start", [math.inf, math.nan])
def test_a_state_that_is_not_finite_costs_one_evaluation_whatever_its_slope(start: float) -> None:
    watched = Watched(lambda t, x: torch.tanh(x).nan_to_num())
    with pytest.raises(Diverged, match="dormand_prince: the state is not finite at t = 0"):
        solve(watched, torch.cat([X, X.new_full((1, 1), start)]), (0.0, 1.0), Solver())
    assert watched.times == [0.0]


def test_a_state_that_overflows_where_its_slopes_do_not_is_no_solution() -> None:
    with pytest.raises(Diverged, match="dormand_prince: the state is not finite at t = 1"):
        solve(lambda t, x: torch.full_like(x, 2e38), X.float().fill_(3e38), (0.0, 1.0), Solver())


@pytest.mark.parametrize("times", [(0.0, 0.999), (0.999, 1e-5), (1e-3, 1.0), (0.1, 0.8), (80.0, 0.002)])
@pytest.mark.parametrize("solver", [Solver(), Solver("dopri5"), Solver("heun2", steps=3), Solver("rk4", steps=3)])
def test_no_evaluation_is_beyond_the_times_in_single_precision(times: tuple[float, float], solver: Solver) -> None:
    """0.999 is 0.99900001 there."""
    watched = Watched(lambda t, x: -x)
    solve(watched, X.float(), times, solver)
    assert min(times) <= min(watched.times) and max(watched.times) <= max(times)
    assert [min(watched.times), max(watched.times)] == pytest.approx(sorted(times), rel=1e-6)


@pytest.mark.parametrize("times", [(0.0,), (0.0, 0.0), (0.0, 0.5, 0.2), (1.0, 0.0, 0.5)])
@pytest.mark.parametrize("method", ["dormand_prince", "dopri5"])
def test_times_that_do_not_move_are_refused(times: tuple[float, ...], method: str) -> None:
    with pytest.raises(UsageError, match="strictly ascending or descending"):
        solve(lambda t, x: x, X, times, Solver(method))
