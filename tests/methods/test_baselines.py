"""Each method's own mathematics, with networks that are exact for Gaussian data."""

import math
from collections.abc import Callable

import pytest
import torch
from oracles import GaussianMixture
from scipy.integrate import quad
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from baselines.ddpm import DDPM
from baselines.ffjord import FFJORD
from baselines.fm_diffusion import FlowMatchingDiffusion
from baselines.fm_ot import FlowMatchingOT
from baselines.ot_cfm import OTCFM
from baselines.regression import Regression
from baselines.rnode import RNODE
from baselines.score_matching import ScoreMatching
from baselines.scoreflow import ScoreFlow
from baselines.sr3 import SR3
from bench.errors import NotApplicable
from bench.methods.baseline import Baseline
from bench.methods.batch import Batch, Context
from bench.methods.cnf import flow
from bench.methods.network import Network
from bench.methods.ode import Solver
from bench.methods.paths import OptimalTransport, Path, VariancePreserving, like

DATA = GaussianMixture.single([0.5, -2.0], [0.3, 4.0])
VP = VariancePreserving()


def generator_of(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(oracle: Callable[[Tensor, Tensor], Tensor]) -> Network:
    """An oracle in double precision as a network of the dtype of x."""
    return lambda t, x: oracle(t.double(), x.double()).to(x)


def exact_velocity(path: Path, data: GaussianMixture = DATA) -> Network:
    return network(lambda t, x: data.velocity(path, t, x))


def exact_score(data: GaussianMixture = DATA) -> Network:
    return network(lambda t, x: data.score(VP, t, x))


def exact_eps(data: GaussianMixture = DATA) -> Network:
    return network(lambda t, x: -like(VP.sigma(t), x) * data.score(VP, t, x))


EXACT: list[tuple[Baseline, Path, Callable[[GaussianMixture], Network]]] = [
    (FlowMatchingOT(), OptimalTransport(), lambda data: exact_velocity(OptimalTransport(), data)),
    (FlowMatchingOT(0.1), OptimalTransport(0.1), lambda data: exact_velocity(OptimalTransport(0.1), data)),
    (FlowMatchingDiffusion(), VP, lambda data: exact_velocity(VP, data)),
    (ScoreMatching(), VP, exact_score),
    (ScoreFlow(), VP, exact_score),
    (ScoreFlow(importance_sampling=False), VP, exact_score),
    (DDPM(), VP, exact_eps),
]
IDS = [str(baseline) for baseline, _, _ in EXACT]


def test_the_velocity_of_a_flow_is_its_network_at_one_time_for_all(rng: torch.Generator) -> None:
    x, t = torch.randn(5, 2, generator=rng), torch.tensor(0.3)
    net = network(lambda t, x: t.reshape(5, 1) * x.roll(1, 0))
    assert torch.equal(FFJORD().velocity(net)(t, x), net(t.expand(5), x))


@pytest.mark.parametrize(("baseline", "path", "exact"), EXACT, ids=IDS)
def test_velocity_of_the_exact_network_is_the_marginal_velocity(
    baseline: Baseline, path: Path, exact: Callable[[GaussianMixture], Network], rng: torch.Generator
) -> None:
    for data in (DATA, GaussianMixture.pair()):
        f = baseline.velocity(exact(data))
        x = torch.randn(20, 2, generator=rng, dtype=torch.float64)
        for t in (0.0, 0.4, 0.9, baseline.t_end):
            time = torch.tensor(t, dtype=torch.float64)
            torch.testing.assert_close(f(time, x), data.velocity(path, time, x), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(("baseline", "path", "exact"), EXACT, ids=IDS)
def test_loss_has_its_minimum_at_the_exact_network(
    baseline: Baseline, path: Path, exact: Callable[[GaussianMixture], Network]
) -> None:
    """The directional derivative vanishes within its standard error, and the curvature is positive."""
    net = exact(DATA)
    x1 = DATA.sample(1500, torch.Generator().manual_seed(0))
    for direction in (lambda t, x: torch.ones_like(x), lambda t, x: x * like(torch.sin(5 * t), x)):

        def moved(by: float, direction: Network = direction) -> Tensor:
            def shifted(t: Tensor, x: Tensor) -> Tensor:
                # A score grows like 1 / sigma: move it by what changes the loss evenly.
                scale = like(1 / VP.sigma(t), x) if isinstance(baseline, (ScoreMatching, ScoreFlow)) else 1.0
                return net(t, x) + by * scale * direction(t, x)

            return baseline.loss(shifted, x1, torch.Generator().manual_seed(1)).double()

        up, down, here = moved(1e-2), moved(-1e-2), moved(0.0)
        slope = (up - down) / 2e-2
        assert abs(float(slope.mean())) < 4 * float(slope.std()) / math.sqrt(1500)
        assert float((up + down - 2 * here).mean()) > 0


def residual(path: Path, prediction: str) -> float:
    """The least loss for DATA: the variance of the target given x_t, averaged over t and dimensions, by quadrature."""

    def at(t: float) -> float:
        time = torch.tensor(t, dtype=torch.float64)
        a, s, da, ds = path.alpha(time), path.sigma(time), path.dalpha(time), path.dsigma(time)
        variance = a**2 * DATA.variances[0] + s**2
        on_x1, on_x0 = (da, ds) if prediction == "velocity" else (torch.zeros_like(da), torch.ones_like(ds))
        target = on_x1**2 * DATA.variances[0] + on_x0**2
        covariance = on_x1 * a * DATA.variances[0] + on_x0 * s
        return float((target - covariance**2 / variance).mean())

    return quad(at, 0, path.t_end, points=[0.9, 0.99, 0.999], limit=200)[0]


@pytest.mark.parametrize(
    ("baseline", "net", "least"),
    [
        (FlowMatchingOT(), exact_velocity(OptimalTransport()), lambda: residual(OptimalTransport(), "velocity")),
        (
            FlowMatchingOT(0.1),
            exact_velocity(OptimalTransport(0.1)),
            lambda: residual(OptimalTransport(0.1), "velocity"),
        ),
        (FlowMatchingDiffusion(), exact_velocity(VP), lambda: residual(VP, "velocity")),
        (DDPM(), exact_eps(), lambda: residual(VP, "noise")),
        (ScoreMatching(), exact_score(), lambda: residual(VP, "noise")),
    ],
    ids=lambda value: str(value) if isinstance(value, Baseline) else "",
)
def test_least_loss_is_the_variance_that_x_does_not_explain(
    baseline: Baseline, net: Network, least: Callable[[], float]
) -> None:
    x1 = DATA.sample(3000, torch.Generator().manual_seed(0))
    loss = baseline.loss(net, x1, torch.Generator().manual_seed(1)).double()
    stderr = float(loss.std()) / math.sqrt(3000)
    assert abs(float(loss.mean()) - least()) < 4 * stderr
    assert stderr < 0.1 * least()


# ScoreFlow.


def test_importance_sampling_has_the_expectation_of_the_uniform_times(rng: torch.Generator) -> None:
    """For a network that is wrong by a constant: Z / t_end times one mean is the other within their errors.

    The spread is smaller, in units of the mean.
    """
    net = network(lambda t, x: DATA.score(VP, t, x) + 0.5 / VP.sigma(t)[:, None])
    x1 = DATA.sample(6000, rng)
    z = float(VP.likelihood_times(torch.zeros(1, dtype=torch.float64))[1])
    assert z == pytest.approx(23.8645, abs=1e-4)
    weighted = z / VP.t_end * ScoreFlow().loss(net, x1, torch.Generator().manual_seed(0)).double()
    uniform = ScoreFlow(importance_sampling=False).loss(net, x1, torch.Generator().manual_seed(1)).double()
    difference = float(weighted.mean() - uniform.mean())
    assert abs(difference) < 4 * math.sqrt(float(weighted.var() + uniform.var()) / 6000)
    assert float(weighted.std()) < 0.5 * float(uniform.std())


def test_scoreflow_is_weighted_by_the_diffusion_rate(rng: torch.Generator) -> None:
    """A network that answers -x0 / sigma + c errs by c: the loss of a sample is beta(1 - t) c^2."""
    x1 = torch.zeros(50, 2)  # then x_t = sigma x0
    net: Network = lambda t, x: -x / like(VP.sigma(t), x).square() + 3.0  # noqa: E731
    loss = ScoreFlow(importance_sampling=False).loss(net, x1, torch.Generator().manual_seed(0))
    t = VP.times(x1, torch.Generator().manual_seed(0))
    torch.testing.assert_close(loss, 9 * VP.beta(t), rtol=2e-3, atol=0)


def test_score_matching_is_weighted_by_the_variance() -> None:
    x1 = torch.zeros(50, 2)
    net: Network = lambda t, x: -x / like(VP.sigma(t), x).square() + 3.0  # noqa: E731
    loss = ScoreMatching().loss(net, x1, torch.Generator().manual_seed(0))
    t = VP.times(x1, torch.Generator().manual_seed(0))
    torch.testing.assert_close(loss, 9 * VP.sigma(t) ** 2, rtol=2e-3, atol=0)


# DDPM's own samplers.


@pytest.mark.slow
@pytest.mark.parametrize(("name", "steps", "bias"), [("ancestral", 1000, 0.03), ("ddim", 50, 0.05)])
def test_native_samplers_draw_the_data_from_the_exact_noise(name: str, steps: int, bias: float) -> None:
    n = 4000
    model = DDPM(ancestral_steps=1000, ddim_steps=50).model(exact_eps())
    sampler = model.samplers[f"{name}-{steps}"]
    x0 = torch.randn(n, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        x = sampler.sample(model, x0, torch.Generator().manual_seed(1)).double()
    deviation = DATA.variances[0].sqrt()
    assert ((x.mean(0) - DATA.means[0]).abs() < (4 / math.sqrt(n) + bias) * deviation).all()
    assert ((x.std(0) / deviation - 1).abs() < 4 / math.sqrt(2 * n) + bias).all()
    assert abs(float(torch.corrcoef(x.T)[0, 1])) < 4 / math.sqrt(n)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "steps"), [("ancestral", 1000), ("ddim", 50), ("ddim", 4)])
def test_native_samplers_begin_where_the_noise_is_and_step_evenly(name: str, steps: int) -> None:
    """Step k of a thousand is s = (k + 1) / 1000, hence t = 1 - s runs evenly from 0 and stops one step before 1."""
    times: list[float] = []

    def net(t: Tensor, x: Tensor) -> Tensor:
        times.append(t[0].item())
        return x

    model = DDPM(ancestral_steps=steps, ddim_steps=steps).model(net)
    model.samplers[f"{name}-{steps}"].sample(model, torch.zeros(2, 2), torch.Generator().manual_seed(0))
    assert times == pytest.approx([i / steps for i in range(steps)], abs=1e-6)


def test_ddim_is_deterministic_and_ancestral_sampling_is_not() -> None:
    model = DDPM(ancestral_steps=10, ddim_steps=10).model(exact_eps())
    x0 = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    ends = {
        name: [sampler.sample(model, x0, torch.Generator().manual_seed(seed)) for seed in (0, 1)]
        for name, sampler in model.samplers.items()
    }
    assert torch.equal(*ends["ddim-10"])
    assert not torch.equal(*ends["ancestral-10"])


# OT-CFM.


@pytest.mark.parametrize("shape", [(2,), (1, 4, 4)])
def test_ot_cfm_pairs_at_the_least_cost(shape: tuple[int, ...], rng: torch.Generator) -> None:
    """At t the network sees x_t = (1 - t) x0 + t x1 and must answer x1 - x0: both ends can be read off the loss."""
    n = 64
    x1 = 1 + torch.randn(n, *shape, generator=rng)
    seen: dict[str, Tensor] = {}

    def net(t: Tensor, x: Tensor) -> Tensor:
        seen["x0"] = (x - like(t, x) * x1) / like(1 - t, x)
        return x1 - seen["x0"]

    draws = torch.Generator().manual_seed(5)
    assert OTCFM().loss(net, Batch(x1), Context(draws)).max() < 1e-6
    replay = torch.Generator().manual_seed(5)
    t = OptimalTransport().times(x1, replay)
    x0 = torch.randn(x1.shape, generator=replay)
    # Where t is close to 1 the division loses digits; the nearest draw is still clear.
    order = torch.cdist(seen["x0"].flatten(1), x0.flatten(1)).argmin(1)
    assert sorted(order.tolist()) == list(range(n)), "not a permutation of the noise"
    assert (seen["x0"] - x0[order])[t < 0.9].abs().max() < 1e-4

    cost = torch.cdist(x1.flatten(1).double(), x0.flatten(1).double()).square()
    rows, columns = linear_sum_assignment(cost.numpy())
    optimum = float(cost[rows, columns].sum())
    paid = float(cost[range(n), order].sum())
    assert paid == pytest.approx(optimum, rel=1e-6)
    assert paid < 0.8 * float(cost.diagonal().sum())


def coupled(method: OTCFM, x0: Tensor, x1: Tensor, given: Tensor | None) -> Tensor:
    return method.coupled(Batch(x1, given=given), x0, generator_of(0)).x0


def test_ot_cfm_pairs_noise_with_what_a_sample_is_given(rng: torch.Generator) -> None:
    """Far apart, two classes of c keep their own noise; of one c the plan is that without it; w = 0 sees no c."""
    n = 32
    x0, x1 = torch.randn(n, 2, generator=rng), torch.randn(n, 2, generator=rng)
    c = (torch.arange(n) % 2).float().unsqueeze(1)
    x1 += 3 * c  # what x1 alone would choose by
    found, blind = (coupled(OTCFM(given_weight=w), x0, x1, c) for w in (100.0, 0.0))
    for of in (0, 1):
        rows = c[:, 0] == of
        assert torch.equal(found[rows], coupled(OTCFM(), x0[rows], x1[rows], None))
    assert torch.equal(blind, coupled(OTCFM(), x0, x1, None)) and not torch.equal(blind, found)


# Maximum likelihood.


def test_ffjord_is_the_negative_log_likelihood(rng: torch.Generator) -> None:
    """v = a x: p = N(0, e^2a I)."""
    a = 0.4
    x1 = torch.randn(10, 2, generator=rng, dtype=torch.float64)
    exact = 0.5 * (math.exp(-a) * x1).square().sum(1) + math.log(2 * math.pi) + 2 * a
    for adjoint in (False, True):
        loss = FFJORD(1e-8, 1e-8, adjoint=adjoint).loss(lambda t, x: a * x, x1, rng)
        torch.testing.assert_close(loss, exact, rtol=1e-6, atol=1e-6)


def test_rnode_adds_its_two_energies(rng: torch.Generator) -> None:
    """v = a x: kinetic |x|^2 a (1 - e^-2a) / 2, Jacobian d a^2."""
    a = 0.4
    x1 = torch.randn(10, 2, generator=rng, dtype=torch.float64)
    plain = FFJORD(1e-8, 1e-8).loss(lambda t, x: a * x, x1, rng)
    kinetic = x1.square().sum(1) * a * (1 - math.exp(-2 * a)) / 2
    loss = RNODE(kinetic=0.3, jacobian=0.7, rtol=1e-8, atol=1e-8).loss(lambda t, x: a * x, x1, rng)
    torch.testing.assert_close(loss, plain + 0.3 * kinetic + 0.7 * 2 * a**2, rtol=1e-6, atol=1e-6)


def test_rnodes_published_weights_in_the_units_of_this_project(rng: torch.Generator) -> None:
    """One flow seen twice: of pixels y in [0, 1] as its authors weigh it, and of x = 2 y - 1 as here."""
    d, solver = 6, Solver("rk4", steps=8)
    matrix = torch.randn(d, d, generator=rng, dtype=torch.float64)
    y = torch.rand(5, d, generator=rng, dtype=torch.float64)
    probes = torch.randint(0, 2, (1, 5, d), generator=rng).double() * 2 - 1

    def of_y(t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(y @ matrix) * (1 + t)

    def of_x(t: Tensor, x: Tensor) -> Tensor:
        return 2 * of_y(t, (x + 1) / 2)

    there, here = (flow(lambda net, f=f: f, None, z, solver, probes) for f, z in ((of_y, y), (of_x, 2 * y - 1)))
    published = 0.01 * 0.5 * there.kinetic / d + 0.01 * there.jacobian / d  # beside bits/dim = nats / (d ln 2)
    kinetic, jacobian = 0.01 * math.log(2) / 8, 0.01 * math.log(2)
    torch.testing.assert_close(kinetic * here.kinetic + jacobian * here.jacobian, published * d * math.log(2))


@pytest.mark.parametrize("cls", [FFJORD, RNODE])
def test_divergence_is_exact_in_few_dimensions_and_probed_in_many(
    cls: type[FFJORD] | type[RNODE], rng: torch.Generator
) -> None:
    turn = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    few = torch.randn(6, 2, generator=rng)
    net: Network = lambda t, x: torch.cat([x[:, :2] @ turn, x[:, 2:]], 1)  # noqa: E731
    exact = cls().loss(net, few, torch.Generator().manual_seed(0))
    torch.testing.assert_close(cls().loss(net, few, torch.Generator().manual_seed(1)), exact)
    probed = cls(exact_up_to=1).loss(net, few, torch.Generator().manual_seed(0))
    assert not torch.allclose(probed, exact)


def test_rnodes_weights_of_zero_are_ffjord(rng: torch.Generator) -> None:
    x1 = torch.randn(4, 2, generator=rng)
    net: Network = lambda t, x: torch.tanh(x) * like(t, x)  # noqa: E731
    torch.testing.assert_close(RNODE(kinetic=0, jacobian=0).loss(net, x1, rng), FFJORD().loss(net, x1, rng))
    assert flow(FFJORD().velocity, net, x1, Solver()).kinetic.min() > 0


# Super-resolution: what a network makes of what it is given alone.


def test_regression_draws_what_it_answers_whatever_the_noise() -> None:
    picture = torch.linspace(-1, 1, 6).reshape(1, 2, 3)

    def net(t: Tensor, x: Tensor) -> Tensor:
        assert not t.any() and not x.any()
        return picture.expand_as(x)

    regression = Regression()
    x1 = torch.zeros(4, 1, 2, 3)
    assert regression.loss(net, x1, generator_of(0)).tolist() == pytest.approx([float(picture.square().mean())] * 4)
    model = regression.model(net)
    noise = torch.randn(4, 1, 2, 3, generator=generator_of(1))
    assert torch.equal(model.samplers["direct"](noise, generator_of(0)), picture.expand_as(noise))
    with pytest.raises(NotApplicable, match="regression answers one image"):
        model.having("velocity")


def test_sr3_tells_its_network_the_level_of_the_noise() -> None:
    sr3, path = SR3(), VariancePreserving()
    t = torch.tensor([0.1, 0.5, 0.9])
    seen: list[Tensor] = []

    def net(level: Tensor, x: Tensor) -> Tensor:
        seen.append(level)
        return torch.zeros_like(x)

    x = torch.randn(3, 2, generator=generator_of(0))
    sr3.velocity(net)(t[1], x)
    torch.testing.assert_close(seen[0], path.alpha(t[1]).expand(3))
    loss = sr3.loss(net, x, generator_of(0))
    drawn = path.times(x, rng := generator_of(0))
    x0 = torch.randn(x.shape, generator=rng)
    torch.testing.assert_close(seen[1], path.alpha(drawn))
    torch.testing.assert_close(loss, x0.abs().mean(1))
