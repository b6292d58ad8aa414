"""Interpolants between pairs: losses of the authors' own code, and the closed form of the bridge between Gaussians."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from oracles import GaussianMixture
from torch import Tensor

from baselines.fm_ot import FlowMatchingOT
from baselines.icfm import ICFM
from baselines.ot_cfm import OTCFM
from baselines.sb_cfm import SBCFM
from baselines.sf2m import SF2M
from baselines.trig import FlowMatchingTrig
from bench.datasets.gaussian_bridge import marginal
from bench.methods.baseline import Baseline, Phase, losses
from bench.methods.batch import Batch, Context
from bench.methods.bridge import BrownianBridge
from bench.methods.couplings import CoupledFlow, Pairs, told_of
from bench.methods.model import Model
from bench.methods.ode import Solver, solve
from bench.methods.paths import OptimalTransport, Smoothed
from bench.methods.prediction import Prediction
from bench.samplers.sde import SDE

M, SIGMA = 0.4, 0.8


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def loss_of(baseline: Baseline, net: Any, x1: Tensor, rng: torch.Generator) -> Tensor:
    return losses(baseline, Phase(), net, Batch(x1), Context(rng))


class Two(dict[str, Any]):
    """Two networks, of which the first answers for both where there is one."""

    def __call__(self, t: Tensor, x: Tensor) -> Tensor:
        return self["flow"](t, x)


@pytest.mark.parametrize(
    ("baseline", "value"),
    [
        (ICFM(0.3), 4.391915397659259),
        (OTCFM(), 2.5547421179127094),
        (FlowMatchingOT(0.1), 3.5851264473742037),
        (FlowMatchingTrig(), 5.183676703311412),
        (SBCFM(0.8), 1.306260114998286),
        (SF2M(0.8, coupling="independent"), 5.727923399620983),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_losses_are_those_of_the_public_code(baseline: Baseline, value: float) -> None:
    """TorchCFM 1.0.7 (cacd4dc), from the same t, x0, e and, for SB-CFM, rows that its plan draws, in this order.

    Its networks are sin(x) + t x and -x; its t is rounded otherwise.
    """
    i = torch.arange(8, dtype=torch.float64)
    x1 = torch.stack([2 * torch.sin(i), torch.cos(3 * i) - 1], 1)
    net = Two(flow=lambda t, x: torch.sin(x) + t[:, None] * x, score=lambda t, x: -x)
    assert float(loss_of(baseline, net, x1, seeded(7)).mean()) == pytest.approx(value, rel=1e-7)


@pytest.mark.parametrize("sigma", [0.1, 0.5])
@pytest.mark.parametrize("prediction", ["velocity", "data", "noise", "score"])
def test_icfm_learns_the_field_of_its_gaussian_path(prediction: Prediction, sigma: float) -> None:
    """The exact prediction along alpha = t, sigma_t^2 = (1 - t)^2 + sigma^2 is where the loss has no slope."""
    data, path, n = GaussianMixture.single([0.5, -2.0], [0.3, 4.0]), Smoothed(sigma), 4000
    baseline = ICFM(sigma, prediction=prediction)

    def net(t: Tensor, x: Tensor) -> Tensor:
        t, score = t.double(), data.score(path, t.double(), x)
        noise = -path.sigma(t)[:, None] * score
        found = {"score": score, "noise": noise, "data": data.mean(path, t, x), "velocity": data.velocity(path, t, x)}
        return found[prediction]

    x, t = torch.randn(20, 2, generator=seeded(), dtype=torch.float64), torch.tensor(0.7, dtype=torch.float64)
    torch.testing.assert_close(baseline.velocity(net)(t, x), data.velocity(path, t, x))
    x1 = data.sample(n, seeded())
    for direction in (lambda t, x: 1.0, lambda t, x: torch.sin(5 * t)[:, None] * x):
        up, down = (
            loss_of(baseline, lambda t, x, by=by: net(t, x) + by * direction(t, x), x1, seeded(1))  # noqa: B023
            for by in (0.01, -0.01)
        )
        slope = (up - down) / 0.02
        assert abs(float(slope.mean())) < 4 * float(slope.std()) / math.sqrt(n)


def test_without_noise_icfm_is_flow_matching() -> None:
    x1 = torch.randn(20, 2, generator=seeded(), dtype=torch.float64)
    net = lambda t, x: torch.tanh(x) * t[:, None]  # noqa: E731
    for prediction in ("velocity", "data", "noise"):
        one, other = (cls(0.0, prediction=prediction) for cls in (ICFM, FlowMatchingOT))  # type: ignore[arg-type]
        torch.testing.assert_close(loss_of(one, net, x1, seeded(3)), loss_of(other, net, x1, seeded(3)))
    one, other = OTCFM(coupling="independent"), FlowMatchingOT()
    assert torch.equal(loss_of(one, net, x1, seeded(3)), loss_of(other, net, x1, seeded(3)))
    torch.testing.assert_close(Smoothed(0.0).sigma(torch.tensor(0.3)), OptimalTransport().sigma(torch.tensor(0.3)))


# The Schroedinger bridge from N(-M, 1) to N(M, 1): everything is Gaussian (bench/datasets/gaussian_bridge.py).


def flow(t: Tensor, x: Tensor) -> Tensor:
    mean, variance = marginal(t.double(), SIGMA, M)
    slope = (2 * t.double() - 1) * (2 - math.sqrt(4 + SIGMA**4))
    return 2 * M + (slope / (2 * variance)).reshape(-1, 1) * (x - mean.reshape(-1, 1))


def score(t: Tensor, x: Tensor) -> Tensor:
    mean, variance = marginal(t.double(), SIGMA, M)
    return -(x - mean.reshape(-1, 1)) / variance.reshape(-1, 1)


EXACT = Two(flow=flow, score=lambda t, x: SIGMA**2 / 2 * score(t, x))


def bridged(n: int) -> tuple[Tensor, Tensor]:
    """Pairs of the entropic plan of regularisation 2 SIGMA^2."""
    x0, z = (torch.randn(n, 1, generator=seeded(seed), dtype=torch.float64) for seed in (1, 2))
    c = (math.sqrt(4 + SIGMA**4) - SIGMA**2) / 2
    return x0 - M, c * x0 + math.sqrt(1 - c * c) * z + M


@pytest.mark.parametrize("sigma", [1.0, 1e-4])
def test_the_weight_makes_the_scaled_score_the_noise(sigma: float) -> None:
    """sigma^2 / 2 s = -e / lambda with s = -e / deviation, however small sigma is."""
    bridge, t = BrownianBridge(sigma), torch.tensor([0.1, 0.5], dtype=torch.float64)
    torch.testing.assert_close(sigma**2 / 2 * bridge.weight(t), bridge.deviation(t), rtol=1e-12, atol=0)


@pytest.mark.parametrize("baseline", [SBCFM(SIGMA), SF2M(SIGMA)], ids=["sb_cfm", "sf2m"])
def test_losses_have_no_slope_at_the_schroedinger_bridge(
    baseline: CoupledFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the velocity and of sigma^2 / 2 times the score, in two directions; elsewhere there is one."""
    n = 40_000
    pairs = bridged(n)
    monkeypatch.setattr(type(baseline), "coupled", lambda *_: Pairs(*pairs))

    def slope(part: str, direction: Any, at: float = 0.0) -> Tensor:
        def moved(by: float) -> Tensor:
            shifted = lambda t, x: EXACT[part](t, x) + (at + by) * direction(t, x)  # noqa: E731
            return loss_of(baseline, Two({**EXACT, part: shifted}), pairs[1], seeded(5))

        return (moved(0.01) - moved(-0.01)) / 0.02

    for part in ("flow", "score") if isinstance(baseline, SF2M) else ("flow",):
        for direction in (lambda t, x: torch.ones_like(x), lambda t, x: x * torch.sin(3 * t)[:, None]):
            here, beside = slope(part, direction), slope(part, direction, at=0.3)
            stderr = float(here.std()) / math.sqrt(n)
            assert abs(float(here.mean())) < 4 * stderr < abs(float(beside.mean()))


@pytest.mark.parametrize("time", [0.1, 0.5, 0.9])
def test_targets_have_the_slopes_of_the_schroedinger_bridge(time: float) -> None:
    """Regressed on x_t. The velocity's slope changes its sign at t = 1/2, and its noise hides it from few samples."""
    n, bridge = 200_000, BrownianBridge(SIGMA)
    t, e = torch.tensor(time).double(), torch.randn(n, 1, generator=seeded(3), dtype=torch.float64)
    pairs, variance = bridged(n), float(marginal(t, SIGMA, M)[1])
    x = bridge.sample(t, *pairs, e)
    targets = {
        (2 * time - 1) * (2 - math.sqrt(4 + SIGMA**4)) / (2 * variance): bridge.target(t, *pairs, e),
        -1 / variance: -e / bridge.deviation(t),
    }
    for slope, target in targets.items():
        (x_var, both), (_, target_var) = torch.cov(torch.cat([x, target], 1).T).tolist()
        stderr = math.sqrt((target_var / x_var - (both / x_var) ** 2) / n)
        assert both / x_var == pytest.approx(slope, abs=4 * stderr)
        assert time == 0.5 or 4 * stderr < abs(slope) / 2


def test_minibatches_pair_by_the_plan_of_the_bridge() -> None:
    """The correlation of entropic pairs of 300 and 300 points is that of the plan, within their error."""
    n = 300
    x0, x1 = (torch.randn(n, 1, generator=seeded(seed)) + sign * M for seed, sign in ((3, -1), (4, 1)))
    found = [told_of(None, SBCFM(SIGMA).coupled(Batch(x1), x0, seeded(seed))) for seed in range(5)]
    correlation = sum(float(torch.corrcoef(torch.cat(pair, 1).T)[0, 1]) for pair in found) / 5
    assert correlation == pytest.approx((math.sqrt(4 + SIGMA**4) - SIGMA**2) / 2, abs=0.06)


def test_ode_and_sde_of_the_exact_bridge_end_in_the_data() -> None:
    """x0 ~ N(-M, 1) to N(M, 1): the ODE maps x0 to x0 + 2 M, and the SDE keeps mean and variance at each t."""
    n = 20_000
    x0 = torch.randn(n, 1, generator=seeded(6), dtype=torch.float64) - M
    model = SF2M(SIGMA, sde_steps=100).model(EXACT)
    assert list(model.samplers) == ["sde-100"] and model.path is None
    ends = solve(model.having("velocity"), x0[:50], (0.0, 1.0), Solver("dormand_prince", 1e-8, 1e-8))[-1]
    torch.testing.assert_close(ends, x0[:50] + 2 * M, rtol=1e-6, atol=1e-6)
    x = model.samplers["sde-100"].sample(model, x0, seeded(7))
    assert abs(float(x.mean()) - M) < 4 / math.sqrt(n) + 0.01
    assert abs(float(x.var()) - 1) < 4 * math.sqrt(2 / n) + 0.02
    assert abs(float(torch.corrcoef(torch.cat([x0, x], 1).T)[0, 1]) - (math.sqrt(4 + SIGMA**4) - SIGMA**2) / 2) < 0.04


def test_an_sde_without_diffusion_is_eulers_method_and_with_it_keeps_the_marginals() -> None:
    data, path = GaussianMixture.single([0.5, -2.0], [0.3, 4.0]), OptimalTransport()
    velocity = lambda t, x: data.velocity(path, t, x)  # noqa: E731
    model = Model(velocity, score=lambda t, x: data.score(path, t, x))
    x0 = torch.randn(3000, 2, generator=seeded(), dtype=torch.float64)
    euler = solve(velocity, x0, (0.0, 1.0), Solver("euler", steps=50))[-1]
    still = SDE(50, diffusion=0.0)
    torch.testing.assert_close(still.sample(model, x0, seeded()), euler)
    x = replace(still, diffusion=1.0).sample(model, x0, seeded(1))
    assert float((x - euler).std()) > 0.1
    assert ((x.mean(0) - data.means[0]).abs() < 4 * data.variances[0].sqrt() / math.sqrt(3000) + 0.02).all()
    assert ((x.std(0) / data.variances[0].sqrt() - 1).abs() < 4 / math.sqrt(6000) + 0.02).all()
