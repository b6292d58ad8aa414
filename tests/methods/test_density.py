"""Divergence and log-density against closed forms."""

import math
from collections.abc import Callable

import pytest
import torch
from oracles import GaussianMixture, Watched, divergence, field
from torch import Tensor

from bench.methods.density import ROWS, log_density, log_normal, rademacher
from bench.methods.ode import Solver
from bench.methods.paths import OptimalTransport, Path, VariancePreserving

TIGHT = Solver("dormand_prince", 1e-9, 1e-9)


# Divergence.


def linear(matrix: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda t, x: (x.flatten(1) @ matrix.T).view_as(x)


@pytest.mark.parametrize("shape", [(2,), (9,), (1, 3, 4)])
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("rows", [1, 10, ROWS])  # one vector a pass, two, and all of them
def test_exact_divergence_is_the_trace(
    shape: tuple[int, ...], create_graph: bool, rows: int, rng: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.methods.density.ROWS", rows)
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
    torch.testing.assert_close(density.log_p, log_normal(x0) - a.trace(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("data", [GaussianMixture.single([0.5, -2.0], [0.3, 4.0]), GaussianMixture.pair()])
@pytest.mark.parametrize("path", [OptimalTransport(), OptimalTransport(0.1)], ids=str)
def test_exact_field_of_the_ot_path_has_the_exact_density(
    data: GaussianMixture, path: Path, rng: torch.Generator
) -> None:
    x = data.sample(40, rng)
    density = log_density(field(data, path), x, 1.0, Solver("dormand_prince", 1e-7, 1e-7))
    exact = data.log_prob_at(path, torch.tensor(1.0, dtype=torch.float64), x)
    torch.testing.assert_close(density.log_p, exact, rtol=0, atol=1e-5)


def test_exact_field_of_the_vp_path_has_the_exact_density(rng: torch.Generator) -> None:
    data, path = GaussianMixture.pair(), VariancePreserving()
    x = data.sample(40, rng)
    start, end = (torch.tensor(t, dtype=torch.float64) for t in (0.0, path.t_end))
    # The path begins at p_0 and not quite at N(0, I): with the true p_0 the density is exact.
    solver = Solver("dormand_prince", 1e-7, 1e-7)
    density = log_density(field(data, path), x, path.t_end, solver)
    corrected = log_density(
        field(data, path), x, path.t_end, solver, prior=lambda x0: data.log_prob_at(path, start, x0)
    )
    torch.testing.assert_close(corrected.log_p, data.log_prob_at(path, end, x), rtol=0, atol=2e-5)
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
    probed = log_density(field(single, path), x, 1.0, Solver("dormand_prince", 1e-7, 1e-7), rademacher(x, rng))
    torch.testing.assert_close(probed.log_p, single.log_prob(x), rtol=0, atol=1e-5)  # a diagonal Jacobian

    pair = GaussianMixture.pair()
    x = pair.sample(1, rng).expand(1500, 2).contiguous()  # the same point, a probe each
    probed = log_density(field(pair, path), x, 1.0, Solver("dormand_prince", 1e-6, 1e-6), rademacher(x, rng))
    error = probed.log_p - pair.log_prob(x[:1])
    assert float(error.std()) > 0 and abs(float(error.mean())) < 4 * float(error.std()) / math.sqrt(1500) + 1e-4


def test_one_probe_a_solve_keeps_the_evaluations_few(rng: torch.Generator) -> None:
    x = torch.randn(16, 2, generator=rng, dtype=torch.float64)
    a = torch.tensor([[0.0, 1.0], [0.5, 0.0]], dtype=torch.float64)
    watched = Watched(linear(a))
    log_density(watched, x, 1.0, Solver(), rademacher(x, rng))
    assert len(watched.times) < 60


@pytest.mark.parametrize("probes", [None, 2])
def test_a_stage_that_neither_the_density_nor_its_error_weighs_has_no_divergence(probes: int | None) -> None:
    data, x, derived = GaussianMixture.pair(), torch.randn(5, 2, dtype=torch.float64), []
    exact = field(data, OptimalTransport())

    def f(t: Tensor, y: Tensor) -> Tensor:
        derived.append(torch.is_grad_enabled())
        return exact(t, y)

    z = None if probes is None else torch.ones(probes, 5, 2, dtype=torch.float64)
    log_density(f, x, 1.0, TIGHT, z)
    assert derived[0] and len(derived) > 7
    assert derived[1:] == [False, True, True, True, True, True] * (len(derived) // 6)
