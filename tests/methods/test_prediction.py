"""One flow, whatever its network predicts: losses, velocities and ends of the ODE, on mixtures with closed forms."""

import math

import pytest
import torch
from oracles import GaussianMixture, field, transported
from torch import Tensor

from baselines.ddpm import DDPM
from baselines.fm_diffusion import FlowMatchingDiffusion
from baselines.fm_ot import FlowMatchingOT
from baselines.score_matching import ScoreMatching
from baselines.scoreflow import ScoreFlow
from bench.methods.gaussian import GaussianFlow
from bench.methods.network import Network
from bench.methods.ode import Solver, solve
from bench.methods.paths import OptimalTransport, Path, VariancePreserving, like
from bench.methods.prediction import MARGIN, Prediction, within

PREDICTIONS: tuple[Prediction, ...] = ("velocity", "data", "noise", "score")
LINE = GaussianMixture.line()
METHODS = {"straight": FlowMatchingOT, "diffusion": FlowMatchingDiffusion}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def exact(prediction: Prediction, path: Path, data: GaussianMixture) -> Network:
    """The network of least loss, by the mixture's own velocity, score and mean of the data."""

    def net(t: Tensor, x: Tensor) -> Tensor:
        t = t.double()
        score = data.score(path, t, x.double())
        found = {
            "velocity": lambda: data.velocity(path, t, x.double()),
            "score": lambda: score,
            "noise": lambda: -like(path.sigma(t), x) * score,
            "data": lambda: data.mean(path, t, x.double()),
        }
        return found[prediction]().to(x)

    return net


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_ode_of_each_exact_prediction_ends_where_quantiles_say(method: str, prediction: Prediction) -> None:
    """To 1e-5 where no end is singular, and else to the error of one Euler step of MARGIN, below 5e-4."""
    baseline = METHODS[method](prediction=prediction)
    x0 = torch.linspace(-2.5, 2.5, 21, dtype=torch.float64)[:, None]
    f = baseline.velocity(exact(prediction, baseline.path, LINE))
    ends = solve(f, x0, (0.0, baseline.t_end), Solver("dormand_prince", 1e-8, 1e-8))[-1]
    shifted = within(prediction, baseline.path) != (0.0, baseline.t_end)
    assert shifted == (method == "straight" and prediction != "velocity")
    off = float((ends - transported(LINE, baseline.path, x0)).abs().max())
    assert off < (5e-4 if shifted else 1e-5), off


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_what_a_model_says_follows_from_each_prediction(method: str, prediction: Prediction) -> None:
    baseline = METHODS[method](prediction=prediction)
    path, x = baseline.path, torch.randn(30, 2, generator=seeded(), dtype=torch.float64)
    data = GaussianMixture.pair()
    model = baseline.model(exact(prediction, path, data))
    assert (model.data is not None) == (prediction == "data")
    for time in (0.1, 0.5, 0.95):
        t = torch.tensor(time, dtype=torch.float64)
        score = data.score(path, t, x)
        torch.testing.assert_close(model.having("velocity")(t, x), data.velocity(path, t, x))
        torch.testing.assert_close(model.having("score")(t, x), score)
        torch.testing.assert_close(model.predicted_noise()(t, x), -path.sigma(t) * score)
        torch.testing.assert_close(model.predicted_data()(t, x), (x + path.sigma(t) ** 2 * score) / path.alpha(t))


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_near_a_singular_end_the_velocity_is_that_of_a_time_beside_it(prediction: Prediction) -> None:
    path, data = OptimalTransport(), GaussianMixture.pair()
    f, u = FlowMatchingOT(prediction=prediction).velocity(exact(prediction, path, data)), field(data, path)
    x = torch.randn(30, 2, generator=seeded(), dtype=torch.float64)
    first, last = within(prediction, path)
    assert (first, last) == (MARGIN * (prediction in ("noise", "score")), 1 - MARGIN * (prediction == "data"))
    for time, beside in ((0.0, first), (1.0, last)):
        there = u(torch.tensor(beside, dtype=torch.float64), x)
        torch.testing.assert_close(f(torch.tensor(time, dtype=torch.float64), x), there, rtol=1e-6, atol=1e-6)
    assert within(prediction, VariancePreserving()) == (0.0, VariancePreserving.t_end)


def residual(path: Path, prediction: Prediction, variance: float) -> float:
    """The least loss for N(m, variance): the variance of the target given x_t, averaged over t, by midpoints."""
    t = (torch.arange(20000, dtype=torch.float64) + 0.5) / 20000 * path.t_end
    a, s = path.alpha(t), path.sigma(t)
    on_x1, on_x0 = {
        "velocity": (path.dalpha(t), path.dsigma(t)),
        "data": (torch.ones_like(t), torch.zeros_like(t)),
        "noise": (torch.zeros_like(t), torch.ones_like(t)),
        "score": (torch.zeros_like(t), torch.ones_like(t)),
    }[prediction]
    covariance = on_x1 * a * variance + on_x0 * s
    return float((on_x1**2 * variance + on_x0**2 - covariance**2 / (a**2 * variance + s**2)).mean())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_exact_prediction_has_the_least_loss(method: str, prediction: Prediction) -> None:
    """That of x1 ~ N(0.5, 0.3), and any shift of the answer adds to it."""
    data, n = GaussianMixture.single([0.5], [0.3]), 4000
    baseline = METHODS[method](prediction=prediction)
    net, x1 = exact(prediction, baseline.path, data), data.sample(n, seeded(1))
    loss = baseline.loss(net, x1, seeded(2)).double()
    assert abs(float(loss.mean()) - residual(baseline.path, prediction, 0.3)) < 4 * float(loss.std()) / math.sqrt(n)
    for by in (-0.3, 0.3):
        moved = baseline.loss(lambda t, x, by=by: net(t, x) + by, x1, seeded(2))
        assert moved.mean() > loss.mean()


def test_methods_of_one_path_are_one_method_if_they_predict_the_same() -> None:
    """To the last digit: DDPM, Flow Matching by diffusion and score matching, each of the noise, of data, of scores."""
    x1 = GaussianMixture.pair().sample(50, seeded()).float()
    net: Network = lambda t, x: torch.tanh(x) * like(t, x)  # noqa: E731
    t = torch.tensor(0.3)
    for prediction in PREDICTIONS:
        first, *others = (cls(prediction=prediction) for cls in (DDPM, FlowMatchingDiffusion, ScoreMatching))
        for other in others:
            assert torch.equal(other.loss(net, x1, seeded()), first.loss(net, x1, seeded()))
            assert torch.equal(other.velocity(net)(t, x1), first.velocity(net)(t, x1))


def test_scoreflow_of_the_noise_is_its_score_times_sigma() -> None:
    """A network -sigma s predicts the noise of the score s: one loss, one field."""
    vp, x1 = VariancePreserving(), GaussianMixture.pair().sample(50, seeded())
    score: Network = lambda t, x: torch.sin(x) - x  # noqa: E731
    noise: Network = lambda t, x: -like(vp.sigma(t), x) * score(t, x)  # noqa: E731
    for importance in (True, False):
        of_score, of_noise = (ScoreFlow(importance_sampling=importance, prediction=p) for p in ("score", "noise"))  # type: ignore[arg-type]
        torch.testing.assert_close(of_noise.loss(noise, x1, seeded()), of_score.loss(score, x1, seeded()))
        t = torch.tensor(0.4, dtype=torch.float64)
        torch.testing.assert_close(of_noise.velocity(noise)(t, x1), of_score.velocity(score)(t, x1))


def test_a_score_needs_gaussian_noise() -> None:
    assert isinstance(FlowMatchingOT(), GaussianFlow)
    assert [FlowMatchingOT(prediction=p).needs_gaussian for p in PREDICTIONS] == [False, False, False, True]
    assert all(FlowMatchingDiffusion(prediction=p).needs_gaussian for p in PREDICTIONS)
