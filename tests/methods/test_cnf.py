"""Maximum-likelihood flows: the density of `bench.methods.density`, the right gradient, energies in closed form."""

import math
import os
from collections.abc import Callable

import numpy as np
import pytest
import torch
from oracles import GaussianMixture
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torchdiffeq import odeint_adjoint

from baselines.ffjord import FFJORD
from baselines.rnode import RNODE
from bench.errors import Diverged
from bench.methods.cnf import ERROR, NODES, WEIGHTS, SimulatedBaseline, flow
from bench.methods.density import log_density, log_normal, rademacher
from bench.methods.network import CountedNetwork, Network
from bench.methods.ode import Solver, VelocityField
from bench.networks.concatsquash import concatsquash

TIGHT = Solver("dormand_prince", 1e-9, 1e-9)
MATRIX = torch.tensor([[0.3, -0.8], [0.5, -0.2]], dtype=torch.float64)


def velocity(net: Network) -> VelocityField:
    return lambda t, x: net(t.expand(len(x)), x)


def linear(t: Tensor, x: Tensor) -> Tensor:
    return x @ MATRIX.T


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    module = concatsquash((2,), width=8, depth=2).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.7)
    return module


@pytest.fixture
def x(rng: torch.Generator) -> Tensor:
    return GaussianMixture.pair().sample(6, rng)


def gradient(module: nn.Module, loss: Tensor) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(module.parameters()))])


def test_the_method_is_of_fifth_order_with_an_estimate_of_its_error() -> None:
    """The order conditions of Butcher for b_i, a_ij and c_i, and rows of a that sum to the nodes."""
    a = np.zeros((7, 7))
    for i, row in enumerate(WEIGHTS, 1):
        a[i, : len(row)] = row
    b, c = a[6], np.array([0.0, *NODES])
    assert a.sum(1) == pytest.approx(c, abs=1e-14)
    conditions = {1 / (k + 1): b @ c**k for k in range(5)}
    conditions |= {1 / 6: b @ a @ c, 1 / 8: b @ (c * (a @ c)), 1 / 12: b @ a @ c**2, 1 / 24: b @ a @ a @ c}
    conditions |= {1 / 10: b @ (c**2 * (a @ c)), 1 / 15: b @ (c * (a @ c**2)), 1 / 30: b @ (c * (a @ a @ c))}
    conditions |= {1 / 60: b @ a @ a @ c**2, 1 / 120: b @ a @ a @ a @ c, 1 / 40: b @ a @ (c * (a @ c))}
    assert list(conditions.values()) == pytest.approx(list(conditions), abs=1e-14)
    assert b @ (a @ c) ** 2 == pytest.approx(1 / 20) and b @ a @ c**3 == pytest.approx(1 / 20)
    # The companion of fourth order: its difference from b annihilates polynomials of degree 3.
    assert [np.array(ERROR) @ c**k for k in range(4)] == pytest.approx([0] * 4, abs=1e-14)
    assert abs(np.array(ERROR) @ c**4) > 1e-5


def test_log_density_is_that_of_the_evaluation(net: nn.Module, x: Tensor) -> None:
    expected = log_density(velocity(net), x, 1.0, TIGHT).log_p
    torch.testing.assert_close(flow(velocity, net, x, TIGHT).log_p.detach(), expected, rtol=0, atol=1e-7)
    # At the tolerances it is trained with, too, and in single precision.
    rough = flow(velocity, net.float(), x.float(), Solver()).log_p.detach()
    torch.testing.assert_close(rough.double(), expected, rtol=0, atol=1e-4)


def test_both_agree_for_the_same_probes(net: nn.Module, x: Tensor, rng: torch.Generator) -> None:
    probes = rademacher(x, rng, 3)
    expected = log_density(velocity(net), x, 1.0, TIGHT, probes).log_p
    torch.testing.assert_close(flow(velocity, net, x, TIGHT, probes).log_p.detach(), expected, rtol=0, atol=1e-7)


def assert_slopes(net: nn.Module, g: Tensor, value: Callable[[], float], tolerance: float) -> None:
    """g is the gradient of `value` to the parameters, by central differences along three directions."""
    start = parameters_to_vector(net.parameters()).detach()
    torch.manual_seed(1)
    for _ in range(3):
        direction = torch.randn_like(g)
        values = []
        for shift in (1e-4, -1e-4):
            vector_to_parameters(start + shift * direction, net.parameters())
            values.append(value())
        assert (values[0] - values[1]) / 2e-4 == pytest.approx(float(g @ direction), rel=1e-4, abs=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("adjoint", [False, True])
def test_gradient_is_that_of_finite_differences(net: nn.Module, x: Tensor, adjoint: bool) -> None:
    g = gradient(net, flow(velocity, net, x, TIGHT, adjoint=adjoint).log_p.mean())
    assert_slopes(net, g, lambda: float(log_density(velocity(net), x, 1.0, TIGHT).log_p.mean()), 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("adjoint", [False, True])
def test_gradient_is_that_of_torchdiffeqs_adjoint(net: nn.Module, x: Tensor, adjoint: bool) -> None:
    """An independent solve, written out for the two dimensions."""

    def augmented(t: Tensor, state: Tensor) -> Tensor:
        with torch.enable_grad():
            y = state[:, :2]
            y = y if y.requires_grad else y.detach().requires_grad_()
            v = net(t.expand(len(y)), y)
            rows = [torch.autograd.grad(v[:, i].sum(), y, create_graph=True)[0] for i in range(2)]
            return torch.cat([v, (rows[0][:, 0] + rows[1][:, 1])[:, None]], 1)

    start = torch.cat([x, x.new_zeros(len(x), 1)], 1)
    times = torch.tensor([1.0, 0.0], dtype=torch.float64)
    end = odeint_adjoint(augmented, start, times, rtol=1e-9, atol=1e-9, adjoint_params=tuple(net.parameters()))[-1]
    expected = gradient(net, (log_normal(end[:, :2]) + end[:, 2]).mean())
    result = flow(velocity, net, x, TIGHT, adjoint=adjoint)
    torch.testing.assert_close(gradient(net, result.log_p.mean()), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize("solver", [TIGHT, Solver("rk4", steps=30)], ids=lambda solver: solver.method)
def test_energies_of_a_linear_field(x: Tensor, adjoint: bool, solver: Solver) -> None:
    """x_t = exp((t - 1) A) x: int |A x_t|^2 dt by quadrature of the matrix exponential, int |A|_F^2 dt = |A|_F^2."""
    points, weights = np.polynomial.legendre.leggauss(20)
    kinetic = sum(
        w / 2 * (x @ torch.linalg.matrix_exp((p - 1) / 2 * MATRIX).T @ MATRIX.T).square().sum(1)
        for p, w in zip(points, weights, strict=True)
    )
    result = flow(velocity, linear, x, solver, adjoint=adjoint)
    torch.testing.assert_close(result.kinetic, kinetic, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(result.jacobian, MATRIX.square().sum().expand(len(x)), rtol=1e-6, atol=1e-6)
    x0 = x @ torch.linalg.matrix_exp(-MATRIX).T
    torch.testing.assert_close(result.log_p, log_normal(x0) - MATRIX.trace(), rtol=1e-6, atol=1e-6)


def test_energies_have_the_gradient_of_their_closed_forms(x: Tensor) -> None:
    """For v = a x: log p = log N(e^-a x) - d a, kinetic = |x|^2 a (1 - e^-2a) / 2, Jacobian d a^2."""
    a = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    result = flow(velocity, lambda t, y: a * y, x, TIGHT)
    square = x.square().sum(1)
    closed = {
        "log_p": log_normal(torch.exp(-a) * x) - 2 * a,
        "kinetic": square * a * (1 - torch.exp(-2 * a)) / 2,
        "jacobian": (2 * a**2).expand(len(x)),
    }
    for name, expected in closed.items():
        value = getattr(result, name)
        torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-6)
        slope, expected_slope = (torch.autograd.grad(v.sum(), a, retain_graph=True)[0] for v in (value, expected))
        torch.testing.assert_close(slope, expected_slope, rtol=1e-5, atol=1e-6)


def test_probed_jacobian_energy_is_unbiased(rng: torch.Generator) -> None:
    x = torch.zeros(1, 2, dtype=torch.float64).expand(4000, 2).contiguous()
    result = flow(velocity, linear, x, Solver("dormand_prince", 1e-5, 1e-5), rademacher(x, rng))
    error = result.jacobian.detach() - MATRIX.square().sum()
    assert float(error.std()) > 0.01 and abs(float(error.mean())) < 4 * float(error.std()) / math.sqrt(4000)


@pytest.mark.slow
def test_evaluations_are_counted_forwards_and_for_the_adjoint_backwards(net: nn.Module, x: Tensor) -> None:
    counted = CountedNetwork(net)
    through = flow(velocity, counted, x, Solver("dormand_prince", 1e-6, 1e-6)).log_p.mean()
    forward = counted.rows / len(x)
    assert forward % 6 == 1 and forward > 6
    through.backward()
    assert counted.rows == forward * len(x)

    counted = CountedNetwork(net)
    by_adjoint = flow(velocity, counted, x, Solver("dormand_prince", 1e-6, 1e-6), adjoint=True).log_p.mean()
    forward = counted.rows / len(x)
    by_adjoint.backward()
    assert counted.rows > 1.5 * forward * len(x)


@pytest.mark.slow
@pytest.mark.parametrize("adjoint", [False, True])
def test_a_field_that_blows_up_is_diverged(adjoint: bool) -> None:
    x = torch.full((3, 2), 4.0)
    with pytest.raises(Diverged, match="dopri5" if adjoint else "dormand_prince"):
        flow(velocity, lambda t, y: -(y**3), x, Solver(), adjoint=adjoint)
    with pytest.raises(Diverged, match="dopri5" if adjoint else "dormand_prince"):
        flow(velocity, lambda t, y: math.nan * y, x, Solver(), adjoint=adjoint)


# Equal steps of RK4.


@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize("kind", [FFJORD, RNODE])
def test_equal_steps_cost_four_evaluations_each(kind: type[SimulatedBaseline], net: nn.Module, adjoint: bool) -> None:
    x = GaussianMixture.pair().sample(6, torch.Generator().manual_seed(0))
    for steps in (1, 4):
        counted = CountedNetwork(net)
        loss = kind(rk4_steps=steps, adjoint=adjoint).loss(counted, x, torch.Generator().manual_seed(0)).mean()
        assert counted.rows == 4 * steps * len(x)
        loss.backward()
        assert counted.rows == (8 if adjoint else 4) * steps * len(x)


@pytest.mark.slow
@pytest.mark.parametrize("exact_up_to", [8, 0])
@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize("kind", [FFJORD, RNODE])
def test_gradient_of_equal_steps_is_that_of_finite_differences(
    kind: type[SimulatedBaseline], net: nn.Module, x: Tensor, adjoint: bool, exact_up_to: int
) -> None:
    """Of the loss that the steps find, however few; the adjoint, which is the exact flow's, needs more of them."""
    baseline = kind(rk4_steps=20 if adjoint else 2, adjoint=adjoint, exact_up_to=exact_up_to)

    def loss() -> Tensor:
        return baseline.loss(net, x, torch.Generator().manual_seed(0)).mean()

    g = gradient(net, loss())
    assert_slopes(net, g, lambda: loss().item(), 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("adjoint", [False, True])
def test_equal_steps_converge_to_the_adaptive_loss_at_fourth_order(
    net: nn.Module, x: Tensor, adjoint: bool, rng: torch.Generator
) -> None:
    exact = FFJORD(1e-11, 1e-11).loss(net, x, rng).mean()
    expected = gradient(net, exact)
    errors, slopes = [], []
    for steps in (8, 16):
        loss = FFJORD(rk4_steps=steps, adjoint=adjoint).loss(net, x, rng).mean()
        errors.append(abs((loss - exact).item()))
        slopes.append(float((gradient(net, loss) - expected).norm()))
    assert errors[1] < 1e-7 and math.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.3)
    assert math.log2(slopes[0] / slopes[1]) == pytest.approx(4, abs=0.3)


@pytest.mark.skipif(os.environ.get("BENCH_TEST_COMPILE") != "1", reason="compiles: BENCH_TEST_COMPILE=1 runs it")
@pytest.mark.parametrize("probed", [False, True])
def test_compiled_step_has_the_same_value_gradient_and_count(
    net: nn.Module, x: Tensor, probed: bool, rng: torch.Generator
) -> None:
    module, x = net.float(), x.float()
    probes = rademacher(x, rng) if probed else None
    results, counts = [], []
    for compiled in (False, True):
        counted = CountedNetwork(module, compiled)
        result = flow(velocity, counted, x, Solver("dormand_prince", 1e-4, 1e-4), probes)
        loss = (result.log_p + result.kinetic + result.jacobian).mean()
        results.append((result.log_p.detach(), gradient(module, loss)))
        counts.append(counted.rows)
    torch.testing.assert_close(results[1], results[0], rtol=1e-3, atol=1e-4)
    assert counts[0] == counts[1]


class Told(nn.Module):
    """A field that depends on its class and on what is given."""

    def __init__(self) -> None:
        super().__init__()
        self.classes, self.layer = 3, nn.Linear(4, 2)

    def forward(self, t: Tensor, x: Tensor, labels: Tensor | None = None, given: Tensor | None = None) -> Tensor:
        more = [torch.zeros(len(x)) if value is None else value.flatten() for value in (labels, given)]
        return torch.tanh(self.layer(torch.cat([x, torch.stack(more, 1).to(x)], 1)))


@pytest.mark.parametrize("told", [{}, {"labels": torch.arange(6) % 3}, {"given": torch.arange(6.0)[:, None]}])
@pytest.mark.parametrize("parted", [False, True])
def test_a_compiled_flow_is_told_what_a_plain_one_is(
    told: dict[str, Tensor], parted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compiler stands by, and says whether it was asked."""
    asked: list[object] = []
    monkeypatch.setattr(torch, "compile", lambda call: asked.append(call) or call)
    torch.manual_seed(0)
    module, x = Told(), torch.randn(6, 2)
    whole = nn.ModuleDict({"field": module}) if parted else module
    part: Callable[[Network], VelocityField] = lambda net: velocity(net["field"] if parted else net)  # noqa: E731
    plain, compiled = (CountedNetwork(whole, compiled, **told) for compiled in (False, True))
    expected, found = (flow(part, net, x, Solver("dormand_prince", 1e-4, 1e-4)) for net in (plain, compiled))
    torch.testing.assert_close(found.log_p, expected.log_p)
    torch.testing.assert_close(gradient(module, found.log_p.sum()), gradient(module, expected.log_p.sum()))
    assert compiled.rows == plain.rows and len(asked) == (not told and not parted)
