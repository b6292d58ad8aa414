"""Samples: the right distribution, the same ones whatever the batch, and an honest count."""

import math

import pytest
import torch
from oracles import GaussianMixture, Given, drawn, field, trained
from torch import Tensor

from bench.methods.model import Draw
from bench.methods.ode import Solver, VelocityField
from bench.methods.paths import OptimalTransport, VariancePreserving
from bench.samplers.ode import sampler_of
from bench.training.seeds import normal

CUDA = torch.cuda.is_available()


def draw(
    f: VelocityField, t_end: float, shape: tuple[int, ...], n: int, batch: int, solver: Solver, seed: int
) -> tuple[Tensor, float]:
    this = trained(Given(f, t_end), shape, seed)
    return drawn(this, sampler_of(solver), n, batch)


def draw_native(native: Draw, n: int, batch: int, seed: int) -> Tensor:
    this = trained(Given(lambda t, x: x, own=(("own", native),)), (2,), seed)
    return drawn(this, "own", n, batch)[0]


DATA = GaussianMixture.single([0.5, -2.0], [0.3, 4.0])


@pytest.mark.parametrize("path", [OptimalTransport(), VariancePreserving()], ids=str)
def test_samples_of_the_exact_field_have_mean_and_covariance_of_the_data(
    path: OptimalTransport | VariancePreserving,
) -> None:
    n = 4000
    x, _ = draw(field(DATA, path), path.t_end, (2,), n, n, Solver(), 0)
    x = x.double()
    variance = DATA.variances[0]
    # 4 standard errors, and 0.01 for what the VP path begins with: N(0, I) instead of N(0.007 x1, I).
    assert ((x.mean(0) - DATA.means[0]).abs() < 4 * (variance / n).sqrt() + 0.01).all()
    covariance = torch.cov(x.T)
    assert ((covariance.diagonal() - variance).abs() < 4 * variance * math.sqrt(2 / n)).all()
    assert abs(float(covariance[0, 1])) < 4 * math.sqrt(float(variance.prod()) / n)


def test_samples_are_the_flow_of_their_own_noise() -> None:
    """OT to one Gaussian: x1 = m + s x0 with the noise of sample i, for any batch."""
    noise = normal((2,), 7, "samples", 0, 10).double()
    expected = DATA.means + DATA.variances.sqrt() * noise
    for batch in (10, 4):
        x, _ = draw(field(DATA, OptimalTransport()), 1.0, (2,), 10, batch, Solver("dormand_prince", 1e-7, 1e-7), 7)
        torch.testing.assert_close(x.double(), expected, rtol=0, atol=1e-4)
    other, _ = draw(field(DATA, OptimalTransport()), 1.0, (2,), 10, 10, Solver(), 8)
    assert (other - x).abs().min() > 1e-4


def test_nfe_weighs_batches_by_their_samples() -> None:
    calls: list[int] = []

    def f(t: Tensor, x: Tensor) -> Tensor:
        calls.append(len(x))
        return x * (1 if len(x) == 200 else 20 * torch.sin(20 * t))

    _, nfe = draw(f, 1.0, (2,), 250, 200, Solver(), 0)
    assert calls.count(50) > calls.count(200)
    assert nfe == pytest.approx((200 * calls.count(200) + 50 * calls.count(50)) / 250)


def test_images_keep_their_shape() -> None:
    x, nfe = draw(lambda t, x: -x, 1.0, (1, 2, 3), 5, 2, Solver("euler", steps=3), 0)
    assert x.shape == (5, 1, 2, 3) and nfe == 3
    torch.testing.assert_close(x, normal((1, 2, 3), 0, "samples", 0, 5) * (2 / 3) ** 3)


def test_native_samplers_begin_with_the_noise_of_the_ode() -> None:
    def native(x0, rng):
        return x0 + torch.randn(x0.shape, generator=rng) * 0

    x = draw_native(native, 7, 3, 4)
    assert torch.equal(x, normal((2,), 4, "samples", 0, 7))


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not CUDA, reason="no GPU"))])
def test_native_samplers_get_a_generator_on_the_device_of_their_noise(device: str) -> None:
    seen: list[torch.device] = []

    def sample(x0: Tensor, rng: torch.Generator) -> Tensor:
        seen.append(rng.device)
        return x0 + torch.randn(x0.shape, generator=rng, device=x0.device)

    this = trained(Given(lambda t, x: x, own=(("own", sample),)), (2,), 4)
    this.device = device
    x, _ = drawn(this, "own", 4, 4)
    assert seen == [x.device] and x.device.type == device


def test_native_samplers_draw_their_own_noise_reproducibly() -> None:
    def native(x0, rng):
        return torch.randn(x0.shape, generator=rng)

    x = draw_native(native, 6, 3, 4)
    assert torch.equal(x, draw_native(native, 6, 3, 4))
    assert not torch.equal(x, draw_native(native, 6, 3, 5))
    assert not torch.equal(x[:3], x[3:])  # batches do not repeat each other's noise
