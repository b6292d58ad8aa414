"""Solving and log-density: orders of convergence, honest counts, and densities against closed forms."""

import math
from collections.abc import Callable

import pytest
import torch
from oracles import GaussianMixture, field
from torch import Tensor

from bench.errors import Diverged
from bench.methods.ode import (
    EVALUATIONS_A_STEP,
    ROWS,
    Solver,
    VelocityField,
    divergence,
    log_density,
    log_normal,
    rademacher,
    solve,
)
from bench.methods.paths import OptimalTransport, Path, VariancePreserving

ORDER = {"euler": 1, "midpoint": 2, "heun2": 2, "heun3": 3, "rk4": 4}
TIGHT = Solver("dopri5", 1e-9, 1e-9)
ONE = torch.ones(1, 1, dtype=torch.float64)


class Watched:
    """A field that notes the times it is called at."""

    def __init__(self, f: VelocityField) -> None:
        self.f = f
        self.times: list[float] = []

    def __call__(self, t: Tensor, x: Tensor) -> Tensor:
        self.times.append(t.item())
        return self.f(t, x)


def swinging(t: Tensor, x: Tensor) -> Tensor:
    """x' = 3 cos(3 t) x, solved by exp(sin 3t)."""
    return 3 * torch.cos(3 * t) * x


@pytest.mark.parametrize("method", ORDER)
def test_fixed_step_solvers_converge_at_their_order(method: str) -> None:
    exact = math.exp(math.sin(3))
    errors = [abs(float(solve(swinging, ONE, (0.0, 1.0), Solver(method, steps=n)).x[-1]) - exact) for n in (256, 512)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(ORDER[method], abs=0.2)


@pytest.mark.parametrize("method", EVALUATIONS_A_STEP)
def test_fixed_step_solvers_count_their_evaluations(method: str) -> None:
    watched = Watched(swinging)
    solution = solve(watched, ONE, (0.0, 1.0), Solver(method, steps=7))
    assert (
        solution.nfe == len(watched.times) == 7 * {"euler": 1, "midpoint": 2, "heun2": 2, "heun3": 3, "rk4": 4}[method]
    )
    assert (solution.accepted, solution.rejected) == (7, 0)


def test_dopri5_counts_six_evaluations_a_step_and_two_to_begin() -> None:
    def kinked(t: Tensor, x: Tensor) -> Tensor:
        return x * torch.where(t < 0.37, 1.0, -40.0)

    watched = Watched(kinked)
    solution = solve(watched, ONE, (0.0, 1.0), Solver())
    assert solution.rejected > 0 and solution.accepted > 5
    assert solution.nfe == len(watched.times) == 2 + 6 * (solution.accepted + solution.rejected)


@pytest.mark.parametrize("method", ["dopri5", "dopri8", "bosh3", "adaptive_heun"])
def test_adaptive_solvers_meet_their_tolerance(method: str) -> None:
    for tolerance in (1e-3, 1e-5):
        solution = solve(swinging, ONE, (0.0, 1.0), Solver(method, tolerance, tolerance))
        assert abs(float(solution.x[-1]) - math.exp(math.sin(3))) < 30 * tolerance


def test_further_output_times_cost_nothing_and_hit_the_solution() -> None:
    times = tuple(i / 20 for i in range(21))
    solution = solve(swinging, ONE, times, TIGHT)
    assert solution.nfe == solve(swinging, ONE, (0.0, 1.0), TIGHT).nfe
    exact = torch.exp(torch.sin(3 * torch.tensor(times, dtype=torch.float64)))
    torch.testing.assert_close(solution.x.flatten(), exact, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("solver", [TIGHT, Solver("rk4", steps=100)])
def test_backwards_undoes_forwards(solver: Solver) -> None:
    end = solve(swinging, ONE, (0.2, 0.9), solver).x[-1]
    back = solve(swinging, end, (0.9, 0.2), solver).x[-1]
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
    for solver in (Solver(), Solver("bosh3", 1e-2, 1e-2), Solver("rk4", steps=5)):
        assert torch.isfinite(solve(watched, x, times, solver).x).all()
    rounding = 1e-7  # the state's single precision
    assert min(watched.times) >= 0 and max(watched.times) <= path.t_end + rounding


def test_adjoint_evaluates_inside_the_interval() -> None:
    weight = torch.tensor(0.3, requires_grad=True)
    watched = Watched(lambda t, x: -weight * x)
    solve(watched, torch.ones(2, 1), (1.0, 0.0), Solver(), adjoint_params=(weight,)).x[-1].sum().backward()
    assert weight.grad is not None
    assert float(weight.grad) == pytest.approx(2 * math.exp(0.3), rel=1e-4)
    assert min(watched.times) >= 0 and max(watched.times) <= 1


@pytest.mark.parametrize("solver", [Solver(), Solver("rk4", steps=20)])
def test_a_solution_that_blows_up_is_diverged(solver: Solver) -> None:
    with pytest.raises(Diverged, match=solver.method):
        solve(lambda t, x: 5 * x**2, torch.ones(3, 2), (0.0, 1.0), solver)
    with pytest.raises(Diverged, match=solver.method):
        solve(lambda t, x: x * math.nan, torch.ones(3, 2), (0.0, 1.0), solver)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "dopri"}, "'dopri': allowed are dopri5, dopri8"),
        ({"method": "euler"}, "steps=None"),
        ({"method": "dopri5", "steps": 10}, "steps=10"),
    ],
)
def test_solvers_that_make_no_sense_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Solver(**arguments)  # type: ignore[arg-type]


def test_a_record_quotes_what_matters_of_a_solver() -> None:
    assert Solver("rk4", steps=3).settings() == {"solver": "rk4", "steps": 3}
    assert Solver("dopri5", 1e-3, 1e-4).settings() == {"solver": "dopri5", "rtol": 1e-3, "atol": 1e-4}


# Divergence.


def linear(matrix: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda t, x: (x.flatten(1) @ matrix.T).view_as(x)


@pytest.mark.parametrize("shape", [(2,), (9,), (1, 3, 4)])
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("rows", [1, 10, ROWS])  # one vector a pass, two, and all of them
def test_exact_divergence_is_the_trace(
    shape: tuple[int, ...], create_graph: bool, rows: int, rng: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.methods.ode.ROWS", rows)
    d = math.prod(shape)
    a = torch.randn(d, d, generator=rng, dtype=torch.float64)
    x = torch.randn(5, *shape, generator=rng, dtype=torch.float64)

    def f(t: Tensor, x: Tensor) -> Tensor:  # adds x_i^2 / 2, whose divergence is sum x_i
        return linear(a)(t, x) + x.square() / 2

    v, trace = divergence(f, torch.tensor(0.5), x, create_graph=create_graph)
    torch.testing.assert_close(v, f(torch.tensor(0.5), x))
    torch.testing.assert_close(trace, a.trace() + x.flatten(1).sum(1))
    assert trace.requires_grad == create_graph


def test_hutchinson_is_exact_for_a_diagonal_jacobian_and_unbiased_otherwise(rng: torch.Generator) -> None:
    x = torch.randn(4, 3, generator=rng, dtype=torch.float64)
    one = rademacher(x, rng)
    _, trace = divergence(lambda t, x: x**3, torch.tensor(0.0), x, one)
    torch.testing.assert_close(trace, 3 * x.square().sum(1))

    a = torch.randn(3, 3, generator=rng, dtype=torch.float64)
    many = rademacher(x, rng, 2000)
    assert many.shape == (2000, 4, 3) and many.dtype == x.dtype
    assert set(many.unique().tolist()) == {-1.0, 1.0}
    _, estimate = divergence(linear(a), torch.tensor(0.0), x, many)
    # Var z^T A z = sum over i < j of (a_ij + a_ji)^2 for independent signs.
    mixed = (a + a.T).triu(1)
    stderr = float(mixed.square().sum()) ** 0.5 / math.sqrt(2000 * 4)
    assert 0 < abs(float(estimate.mean() - a.trace())) < 4 * stderr


# Log-density.


def test_log_normal_is_in_nats() -> None:
    x = torch.tensor([[[1.0], [2.0]]])
    assert float(log_normal(x)) == pytest.approx(-0.5 * (1 + 4) - math.log(2 * math.pi))


def test_linear_flow_has_the_density_of_its_matrix_exponential(rng: torch.Generator) -> None:
    a = 0.5 * torch.randn(3, 3, generator=rng, dtype=torch.float64)
    x = torch.randn(7, 3, generator=rng, dtype=torch.float64)
    density = log_density(linear(a), x, 1.0, TIGHT)
    x0 = x @ torch.linalg.matrix_exp(-a).T
    torch.testing.assert_close(density.x0, x0, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(density.log_p, log_normal(x0) - a.trace(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("data", [GaussianMixture.single([0.5, -2.0], [0.3, 4.0]), GaussianMixture.pair()])
@pytest.mark.parametrize("path", [OptimalTransport(), OptimalTransport(0.1)], ids=str)
def test_exact_field_of_the_ot_path_has_the_exact_density(
    data: GaussianMixture, path: Path, rng: torch.Generator
) -> None:
    x = data.sample(40, rng)
    density = log_density(field(data, path), x, 1.0, Solver("dopri5", 1e-7, 1e-7))
    exact = data.log_prob_at(path, torch.tensor(1.0, dtype=torch.float64), x)
    torch.testing.assert_close(density.log_p, exact, rtol=0, atol=1e-5)


def test_exact_field_of_the_vp_path_has_the_exact_density(rng: torch.Generator) -> None:
    data, path = GaussianMixture.pair(), VariancePreserving()
    x = data.sample(40, rng)
    density = log_density(field(data, path), x, path.t_end, Solver("dopri5", 1e-7, 1e-7))
    start, end = (torch.tensor(t, dtype=torch.float64) for t in (0.0, path.t_end))
    # The path begins at p_0 and not quite at N(0, I): with the true p_0 the density is exact.
    corrected = density.log_p - log_normal(density.x0) + data.log_prob_at(path, start, density.x0)
    torch.testing.assert_close(corrected, data.log_prob_at(path, end, x), rtol=0, atol=2e-5)
    # What is left between p_1 and the data is noise of variance 1e-6, and between p_0 and N(0, I) a mean of 0.007 x1.
    torch.testing.assert_close(density.log_p, data.log_prob(x), rtol=0, atol=0.05)
    assert abs(float((density.log_p - data.log_prob(x)).mean())) < 0.01


def test_single_precision_at_the_default_tolerance_is_good_to_a_thousandth(rng: torch.Generator) -> None:
    data, path = GaussianMixture.pair(), OptimalTransport()
    x = data.sample(100, rng)
    density = log_density(field(data, path), x.float(), 1.0, Solver())
    torch.testing.assert_close(density.log_p.double(), data.log_prob(x), rtol=0, atol=3e-3)
    assert abs(float((density.log_p.double() - data.log_prob(x)).mean())) < 3e-4


def test_hutchinson_log_density_is_unbiased_and_exact_for_one_gaussian(rng: torch.Generator) -> None:
    single, path = GaussianMixture.single([0.5, -2.0], [0.3, 4.0]), OptimalTransport()
    x = single.sample(20, rng)
    probed = log_density(field(single, path), x, 1.0, Solver("dopri5", 1e-7, 1e-7), rademacher(x, rng))
    torch.testing.assert_close(probed.log_p, single.log_prob(x), rtol=0, atol=1e-5)  # a diagonal Jacobian

    pair = GaussianMixture.pair()
    x = pair.sample(1, rng).expand(1500, 2).contiguous()  # the same point, a probe each
    probed = log_density(field(pair, path), x, 1.0, Solver("dopri5", 1e-6, 1e-6), rademacher(x, rng))
    error = probed.log_p - pair.log_prob(x[:1])
    assert float(error.std()) > 0 and abs(float(error.mean())) < 4 * float(error.std()) / math.sqrt(1500) + 1e-4


def test_one_probe_a_solve_keeps_the_evaluations_few(rng: torch.Generator) -> None:
    x = torch.randn(16, 2, generator=rng, dtype=torch.float64)
    a = torch.tensor([[0.0, 1.0], [0.5, 0.0]], dtype=torch.float64)
    watched = Watched(linear(a))
    density = log_density(watched, x, 1.0, Solver(), rademacher(x, rng))
    assert density.nfe == len(watched.times) < 60
