"""Samplers in continuous time, against closed forms of Gaussian data and diffusers' own schedulers."""

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from oracles import GaussianMixture, Watched, field, whitened
from torch import Tensor

from bench.errors import NotApplicable
from bench.methods.model import Model
from bench.methods.paths import OptimalTransport, Path, VariancePreserving
from bench.samplers.dpm_solver_pp import DPMSolverPlusPlus
from bench.samplers.edm import EDM
from bench.samplers.euler_maruyama import EulerMaruyama
from bench.samplers.exponential import Exponential
from bench.samplers.grids import Grid, ends, level, levels
from bench.samplers.ode import Euler
from bench.samplers.unipc import UniPC

VP, OT = VariancePreserving(), OptimalTransport()
MEAN, VARIANCE = 0.5, 0.25
RNG = torch.Generator()
PATHS: list[Path] = [OT, VP, OptimalTransport(0.1)]
NAMED = pytest.mark.parametrize("path", PATHS, ids=["straight", "vp", "blurred"])


def gaussian(path: Path, mean: float = MEAN, variance: float = VARIANCE) -> Model:
    return Model(field(GaussianMixture.single([mean], [variance]), path), path.t_end, path)


def at(path: Path, t: float) -> tuple[float, float, float, float]:
    found = (f(torch.tensor(t, dtype=torch.float64)) for f in (path.alpha, path.sigma, path.dalpha, path.dsigma))
    alpha, sigma, dalpha, dsigma = map(float, found)
    return alpha, sigma, dalpha, dsigma


# What a model predicts.


@NAMED
@pytest.mark.parametrize("t", [0.0, 0.4, 0.97])
def test_predicted_data_is_the_regression_on_the_state(path: Path, t: float) -> None:
    """E(x1 | x) = m + alpha S (x - alpha m) / (alpha^2 S + sigma^2), also where alpha = 0."""
    x, time = torch.tensor([[-0.7], [1.1]], dtype=torch.float64), torch.tensor(t, dtype=torch.float64)
    alpha, sigma, *_ = at(path, t)
    expected = MEAN + alpha * VARIANCE * (x - alpha * MEAN) / (alpha**2 * VARIANCE + sigma**2)
    model = gaussian(path)
    torch.testing.assert_close(model.predicted_data()(time, x), expected)
    if alpha:
        score = -(x - alpha * MEAN) / (alpha**2 * VARIANCE + sigma**2)
        bare = Model(path=path, t_end=path.t_end, score=lambda t, x: score)
        torch.testing.assert_close(bare.predicted_data()(time, x), expected)
        torch.testing.assert_close(bare.predicted_velocity()(time, x), model.having("velocity")(time, x))


def test_what_nothing_follows_from_is_not_applicable() -> None:
    for model in (Model(), Model(path=VP), Model(score=lambda t, x: x)):
        for predicted in (model.predicted_data, model.predicted_velocity):
            with pytest.raises(NotApplicable, match=r"the model has no (path|score)"):
                predicted()


# Euler-Maruyama.


@NAMED
@pytest.mark.parametrize("grid", ["uniform", "karras"])
def test_without_noise_it_is_euler(path: Path, grid: Grid) -> None:
    x0, model = whitened(5, 2), gaussian(path)
    expected = Euler(7, grid).draw(model, x0, RNG)
    torch.testing.assert_close(EulerMaruyama(7, grid, scale=0.0).draw(model, x0, RNG), expected)


def moments(path: Path, scale: float, times: Tensor) -> tuple[float, float]:
    """Mean and variance after the steps: the drift v + g^2 / 2 score is affine, of slope k and of value b at 0.

    With V = alpha^2 S + sigma^2 and d = x - alpha m, v = alpha' m + (alpha alpha' S + sigma sigma') d / V and the score
    is -d / V.
    """
    mean, variance = 0.0, 1.0
    along = torch.stack([path.alpha(times), path.sigma(times), path.dalpha(times), path.dsigma(times)], 1)
    for (alpha, sigma, dalpha, dsigma), h in zip(along.tolist(), times.diff().tolist(), strict=False):
        g2 = 2 * sigma * (sigma * dalpha / alpha - dsigma) * scale**2 if alpha else 0.0
        total = alpha**2 * VARIANCE + sigma**2
        k = (alpha * dalpha * VARIANCE + sigma * dsigma - g2 / 2) / total
        mean, variance = mean + h * (dalpha * MEAN + k * (mean - alpha * MEAN)), (1 + h * k) ** 2 * variance + g2 * h
    return mean, variance


@NAMED
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_marginals_are_those_of_the_data_for_any_noise(path: Path, scale: float) -> None:
    alpha, sigma, *_ = at(path, path.t_end)
    errors = []
    for steps in (1000, 2000):
        mean, variance = moments(path, scale, ends("uniform", steps, 7.0, gaussian(path), torch.device("cpu")))
        errors.append(abs(variance - alpha**2 * VARIANCE - sigma**2))
        assert mean == pytest.approx(alpha * MEAN, abs=0.02)
    assert errors[1] < 0.01 * VARIANCE * max(1, scale**2) and errors[1] < errors[0]


@NAMED
@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_its_draws_have_the_moments_of_its_recursion(path: Path, scale: float) -> None:
    n, steps = 20_000, 24
    x = EulerMaruyama(steps, scale=scale).draw(gaussian(path), whitened(n, 1), torch.Generator().manual_seed(0))
    mean, variance = moments(path, scale, ends("uniform", steps, 7.0, gaussian(path), torch.device("cpu")))
    assert float(x.mean()) == pytest.approx(mean, abs=4 * math.sqrt(variance / n))
    assert float(x.var()) == pytest.approx(variance, rel=4 * math.sqrt(2 / n))


# EDM.


def spread(path: Path, sampler: EDM) -> float:
    """The variance of its draws for data N(0, S): d = s y / (S + s^2), so that all is a factor."""
    end = path.t_end
    start, last = level(path, torch.tensor([0.0, end], dtype=torch.float64)).tolist()
    s = [*levels(path, end, sampler.steps, sampler.rho)[:-1].tolist(), last]
    variance = (s[0] / at(path, 0.0)[1]) ** 2

    def slope(s: float) -> float:
        return s / (VARIANCE + s**2)

    for i, (now, then) in enumerate(pairwise(s)):
        on = sampler.churn_min <= now <= sampler.churn_max
        hat = min(now * (1 + on * min(sampler.churn / sampler.steps, math.sqrt(2) - 1)), start)
        variance += sampler.churn_noise**2 * (hat**2 - now**2)
        euler = 1 + (then - hat) * slope(hat)
        heun = 1 + (then - hat) * (slope(hat) + slope(then) * euler) / 2
        variance *= (euler if i == sampler.steps - 1 else heun) ** 2
    return variance * at(path, end)[0] ** 2


@NAMED
@pytest.mark.parametrize("steps", [1, 5, 18])
def test_edm_without_churn_is_the_product_of_its_steps(path: Path, steps: int) -> None:
    model = gaussian(path, 0.0)
    watched = Watched(model.having("velocity"))
    x = EDM(steps).draw(replace(model, velocity=watched), torch.ones(1, 1, dtype=torch.float64), RNG)
    assert float(x) ** 2 == pytest.approx(spread(path, EDM(steps)), rel=1e-6)
    assert len(watched.times) == EDM(steps).evaluations == 2 * steps - 1


@NAMED
def test_edm_with_churn_has_the_variance_of_its_recursion(path: Path) -> None:
    n, sampler = 20_000, EDM(12, churn=6.0, churn_min=0.05, churn_max=50.0, churn_noise=1.05)
    x = sampler.draw(gaussian(path, 0.0), whitened(n, 1), torch.Generator().manual_seed(0))
    assert float(x.var()) == pytest.approx(spread(path, sampler), rel=4 * math.sqrt(2 / n))
    assert spread(path, sampler) != pytest.approx(spread(path, EDM(12)), rel=0.02)


@NAMED
def test_edm_draws_the_data_with_churn_or_without(path: Path) -> None:
    alpha, sigma, *_ = at(path, path.t_end)
    for sampler in (EDM(40), EDM(200, churn=40.0)):
        assert spread(path, sampler) == pytest.approx(alpha**2 * VARIANCE + sigma**2, rel=0.02)


# Exponential integrators.


def test_order_one_is_euler_on_straight_lines_and_ddim_on_others() -> None:
    x0 = whitened(5, 2)
    torch.testing.assert_close(
        Exponential(6, order=1).draw(gaussian(OT), x0, RNG), Euler(6).draw(gaussian(OT), x0, RNG)
    )
    model, times = gaussian(VP), ends("logsnr", 6, 7.0, gaussian(VP), torch.device("cpu"))
    x, eps = x0, model.having("path").eps_from_velocity
    for s, t in pairwise(times):
        noise = eps(s, x, model.having("velocity")(s, x))
        x = VP.alpha(t) / VP.alpha(s) * (x - VP.sigma(s) * noise) + VP.sigma(t) * noise
    torch.testing.assert_close(Exponential(6, "logsnr", order=1).draw(model, x0, RNG), x)


@NAMED
def test_data_that_is_linear_in_the_share_of_noise_is_met_after_one_step(path: Path) -> None:
    """Where D = a + b q, whatever x: z / q falls by dD, so that q z' - z = -D has z = a (1 - q) - b q log q + c q."""
    a, b = 0.3, -1.1

    def share(t: Tensor) -> Tensor:
        return path.sigma(t) / (path.alpha(t) + path.sigma(t))

    def velocity(t: Tensor, x: Tensor) -> Tensor:
        data = (a + b * share(t)).expand_as(x)
        alpha, sigma = path.alpha(t), path.sigma(t)
        return path.dalpha(t) * data + path.dsigma(t) * (x - alpha * data) / sigma

    model, x0 = Model(velocity, path.t_end, path), torch.tensor([[0.7]], dtype=torch.float64)
    times = ends("flow", 4, 7.0, model, torch.device("cpu"))
    q = share(times).tolist()
    ratio, scale = q[1] / q[0], [float(path.alpha(t) + path.sigma(t)) for t in times[[0, -1]]]
    first = ratio * 0.7 / scale[0] + (1 - ratio) * (a + b * q[0])
    c = (first - a * (1 - q[1]) + b * q[1] * math.log(q[1])) / q[1]
    expected = a * (1 - q[-1]) - (b * q[-1] * math.log(q[-1]) if q[-1] else 0.0) + c * q[-1]
    x = Exponential(4).draw(model, x0, RNG)
    assert float(x) == pytest.approx(expected * scale[1], rel=1e-9)


# Through diffusers.


@pytest.mark.parametrize("solver_order", [1, 2, 3])
@pytest.mark.parametrize("name", ["DPMSolverMultistepScheduler", "UniPCMultistepScheduler"])
def test_on_the_vp_path_it_is_the_schedulers_own_vp_variant(name: str, solver_order: int) -> None:
    """Noise predicted at the same levels sigma / alpha, with alpha^2 + sigma^2 = 1 as the scheduler has it."""
    import diffusers

    kinds: dict[str, Any] = {"D": DPMSolverPlusPlus, "U": UniPC}
    sampler = kinds[name[0]](20, "logsnr", solver_order=solver_order)
    model, x0 = gaussian(VP), whitened(20, 2).float()
    times = ends("logsnr", 20, 7.0, model, torch.device("cpu"))
    scheduler = getattr(diffusers, name)(solver_order=solver_order, final_sigmas_type="zero")
    scheduler.set_timesteps(20)
    scheduler.sigmas = level(VP, times)
    scheduler.set_begin_index(0)
    x = x0
    for t in times[:-1]:
        eps = VP.eps_from_velocity(t, x, model.having("velocity")(t, x))
        x = scheduler.step(eps, t, x).prev_sample
    torch.testing.assert_close(sampler.draw(model, x0, RNG), x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("solver_order", [1, 2, 3])
def test_on_straight_lines_it_is_the_schedulers_own_flow_variant(solver_order: int) -> None:
    """diffusers' flow predicts x0 - x1, the negative of a velocity, at sigma = 1 - t, from levels that a user gives."""
    from diffusers import UniPCMultistepScheduler

    model, x0, steps = gaussian(OT), whitened(20, 2).float(), 10
    scheduler = UniPCMultistepScheduler(
        solver_order=solver_order, prediction_type="flow_prediction", use_flow_sigmas=True
    )
    scheduler.set_timesteps(sigmas=1 - np.arange(steps) / steps)
    x = x0
    for i, k in enumerate(scheduler.timesteps):
        t = torch.tensor(i / steps, dtype=torch.float64)
        x = scheduler.step(-model.having("velocity")(t, x), k, x).prev_sample
    torch.testing.assert_close(UniPC(steps, solver_order=solver_order).draw(model, x0, RNG), x, rtol=1e-4, atol=1e-4)
