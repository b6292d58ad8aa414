"""EDM, VE and VP with denoisers that are exact for Gaussian data, and the values of their authors' losses."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from oracles import GaussianMixture
from scipy.integrate import quad
from torch import Tensor

from baselines import edm, ve, vp_sde
from baselines.ddpm import DDPM
from baselines.edm import EDM
from baselines.ve import VE
from baselines.vp_sde import VPSDE
from bench.errors import NotApplicable, UsageError
from bench.methods.baseline import About
from bench.methods.denoiser import DenoiserBaseline, log_normal_levels
from bench.methods.density import log_density
from bench.methods.network import Network
from bench.methods.ode import Solver
from bench.methods.paths import like

DATA = GaussianMixture.single([0.5, -2.0], [0.3, 4.0])
MEAN, VARIANCE = DATA.means[0], DATA.variances[0]
LEVEL_TOLD: dict[type[DenoiserBaseline], Callable[[Tensor], Tensor]] = {
    EDM: lambda told: (4 * told).exp(),
    VE: lambda told: 2 * told.exp(),
    VPSDE: lambda told: torch.expm1(0.1 * told + 19.9 * told**2 / 2).sqrt(),
}
METHODS = [EDM(sigma_data=0.5), EDM(sigma_data=2.0), VE(), VPSDE()]


def exact(baseline: DenoiserBaseline) -> Network:
    """F of the exact D = m + v / (v + s^2) (y - m), which finds s in what it is told."""

    def net(told: Tensor, x: Tensor) -> Tensor:
        s = LEVEL_TOLD[type(baseline)](told.double())
        skip, out, into, _ = (like(c, x) for c in baseline.scaling(s))
        y = x.double() / into
        return ((MEAN + VARIANCE / (VARIANCE + like(s, x) ** 2) * (y - MEAN) - skip * y) / out).to(x)

    return net


def generator_of(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("baseline", METHODS, ids=str)
def test_velocity_and_score_of_the_exact_denoiser_are_those_of_the_path(baseline: DenoiserBaseline) -> None:
    model, path = baseline.model(exact(baseline)), baseline.path
    assert model.score and model.velocity
    x = torch.randn(20, 2, generator=generator_of(0), dtype=torch.float64)
    for t in (0.0, 0.4, 0.9, baseline.t_end):
        time = torch.tensor(t, dtype=torch.float64)
        torch.testing.assert_close(model.velocity(time, x), DATA.velocity(path, time, x), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(model.score(time, x), DATA.score(path, time, x), rtol=1e-6, atol=1e-6)
        data = (x + path.sigma(time) ** 2 * DATA.score(path, time, x)) / path.alpha(time)
        torch.testing.assert_close(model.predicted_data()(time, x), data, rtol=1e-6, atol=1e-6)


def least_loss(baseline: DenoiserBaseline) -> float:
    """E lambda(s) Var(x1 | y) over dimensions, Var = v s^2 / (v + s^2), by quadrature over the law of s."""

    def unexplained(s: float) -> float:
        return float((VARIANCE * s**2 / (VARIANCE + s**2)).mean())

    if isinstance(baseline, EDM):
        d = baseline.sigma_data

        def at(z: float) -> float:
            s = d / 0.5 * math.exp(-1.2 + 1.2 * z)
            return math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (s**2 + d**2) / (s * d) ** 2 * unexplained(s)

        return quad(at, -8, 8)[0]
    if isinstance(baseline, VE):
        return quad(lambda u: unexplained(s := 0.02 * 5000**u) / s**2, 0, 1)[0]

    def of_time(t: float) -> float:
        s = math.sqrt(math.expm1(0.1 * t + 19.9 * t**2 / 2))
        return unexplained(s) / s**2

    return quad(of_time, 1e-5, 1, points=[1e-3, 1e-2, 0.1])[0]


@pytest.mark.parametrize("baseline", METHODS, ids=str)
def test_least_loss_is_the_weighted_variance_that_y_does_not_explain(baseline: DenoiserBaseline) -> None:
    x1 = DATA.sample(6000, generator_of(0))
    loss = baseline.loss(exact(baseline), x1, generator_of(1)).double()
    stderr = float(loss.std()) / math.sqrt(6000)
    assert abs(float(loss.mean()) - least_loss(baseline)) < 4 * stderr < 0.2 * least_loss(baseline)
    net = exact(baseline)
    worse = baseline.loss(lambda told, x: net(told, x) + 0.3, x1, generator_of(1))
    assert float(worse.mean()) > float(loss.mean()) + 0.05


# The losses of github.com/NVlabs/edm (training/loss.py, training/networks.py), called with four images of 2 x 2 pixels
# x1 = sin k and noise cos 3k, k = 0 ... 15, with the network sin(2 x + c_noise), for VP of c_noise / 999. Their random
# numbers are U for levels by uniform ones and G by normal ones; the values are means over the pixels of an image.
K = torch.arange(16, dtype=torch.float64).reshape(4, 1, 2, 2)
U, G = (torch.tensor(v, dtype=torch.float64) for v in ([0.1, 0.4, 0.7, 0.95], [-1.5, -0.3, 0.4, 1.7]))
PUBLISHED = {
    EDM(sigma_data=0.5): [0.7157666087150574, 0.4172455966472626, 0.7942479848861694, 0.8616318702697754],
    VE(): [1.4511008262634277, 0.2962484657764435, 0.48977386951446533, 0.879165530204773],
    VPSDE(): [0.2651798725128174, 0.05261211842298508, 0.3309265375137329, 0.7310941219329834],
}


@pytest.mark.parametrize("baseline", PUBLISHED, ids=lambda baseline: baseline.name)
def test_losses_are_those_of_the_public_code(baseline: DenoiserBaseline, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (edm, ve, vp_sde):
        monkeypatch.setattr(module, "noise", lambda x1, rng: torch.cos(3 * K))
    monkeypatch.setattr(torch, "randn", lambda *shape, **_: G)
    # Their t runs from data to noise, and their VE's levels upwards in u.
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: U if isinstance(baseline, VPSDE) else 1 - U)
    net: Network = lambda told, x: torch.sin(2 * x + like(told, x))  # noqa: E731
    found = baseline.loss(net, torch.sin(K), generator_of(0))
    torch.testing.assert_close(found, torch.tensor(PUBLISHED[baseline], dtype=torch.float64), rtol=2e-5, atol=0)


def test_vp_is_ddpm_that_is_told_the_time_of_noise() -> None:
    net: Network = lambda t, x: torch.tanh(x + like(t, x))  # noqa: E731
    x1 = DATA.sample(200, generator_of(0))
    found = VPSDE(0.2, 10.0).loss(net, x1, generator_of(1))
    expected = DDPM(beta_min=0.2, beta_max=10.0).loss(lambda t, x: net(1 - t, x), x1, generator_of(1))
    torch.testing.assert_close(found, expected, rtol=2e-4, atol=1e-6)


def test_levels_are_log_normal_and_go_with_the_data() -> None:
    x1 = torch.zeros(20_000, 2)
    for sigma_data in (0.5, 2.0):
        logs = log_normal_levels(x1, generator_of(0), -1.2, 1.2, sigma_data).log().numpy()
        assert logs.mean() == pytest.approx(-1.2 + math.log(2 * sigma_data), abs=4 * 1.2 / math.sqrt(20_000))
        assert logs.std() == pytest.approx(1.2, rel=0.03) and np.median(logs) == pytest.approx(logs.mean(), abs=0.05)


def test_its_own_inputs_and_targets_have_unit_variance() -> None:
    """c_in^2 (d^2 + s^2) = 1, the variance of (x1 - c_skip y) / c_out = 1, and c_skip makes c_out least."""
    s, d = torch.logspace(-3, 2, 20, dtype=torch.float64), 0.7
    skip, out, into, _ = EDM(sigma_data=d).scaling(s)
    torch.testing.assert_close(into**2 * (d**2 + s**2), torch.ones_like(s))
    of_skip = lambda c: (1 - c) ** 2 * d**2 + c**2 * s**2  # noqa: E731 - variance of x1 - c y
    torch.testing.assert_close(of_skip(skip), out**2)
    assert (of_skip(skip + 0.01) > out**2).all() and (of_skip(skip - 0.01) > out**2).all()


@pytest.mark.parametrize("baseline", [EDM(edm_steps=100, sigma_data=0.5), VE(edm_steps=100)], ids=str)
def test_samples_and_density_of_the_exact_denoiser_are_those_of_its_linear_flow(baseline: DenoiserBaseline) -> None:
    """Along y' = (y - D) / s a Gaussian keeps (y - m) / sqrt(v + s^2); y starts from s_0 x0."""
    model, path = baseline.model(exact(baseline)), baseline.path
    x0 = torch.randn(50, 2, generator=generator_of(0), dtype=torch.float64)
    level = [float(path.sigma(t) / path.alpha(t)) for t in torch.tensor([0.0, 1.0], dtype=torch.float64)]
    alpha = [1 / math.sqrt(1 + s**2) for s in level]

    def ends(y: Tensor, first: float) -> tuple[Tensor, Tensor]:
        scale = torch.sqrt((VARIANCE + level[1] ** 2) / (VARIANCE + first**2))
        return alpha[1] * (MEAN + scale * (y - MEAN)), scale

    (name,) = model.samplers
    assert name == "edm-100"
    found = model.samplers[name].draw(model, x0, generator_of(0))
    high = min(level[0], 80.0)  # EDM's sampler starts there at most, from the noise of the path's own start
    expected, _ = ends(high / (level[0] * alpha[0]) * x0, high)
    torch.testing.assert_close(found, expected, rtol=0, atol=8e-3)
    assert model.velocity
    x, scale = ends(x0 / alpha[0], level[0])
    log_p = log_density(model.velocity, x, 1.0, Solver(rtol=1e-6, atol=1e-6)).log_p
    jacobian = torch.log(alpha[1] * scale / alpha[0]).sum()
    torch.testing.assert_close(log_p, -x0.square().sum(1) / 2 - math.log(2 * math.pi) - jacobian, rtol=1e-4, atol=1e-4)


def test_the_deviation_is_that_of_the_data_unless_it_is_set() -> None:
    told = About((2,), deviation=lambda: 1.5)
    assert EDM().for_data(told) == EDM(sigma_data=1.5) and EDM(sigma_data=0.5).for_data(told).sigma_data == 0.5
    assert VE().for_data(About((2,))) == VE()
    with pytest.raises(NotApplicable, match="the data have the deviation 0, not one from 1e-06 to 1e"):
        EDM().for_data(About((2,), deviation=lambda: 0.0))
    for unknown in (lambda: EDM().scaling(torch.ones(1)), lambda: EDM().for_data(About((2,)))):
        with pytest.raises(UsageError, match=r"^sigma_data = 0: it is that of the data|nothing is told of the numbers"):
            unknown()
