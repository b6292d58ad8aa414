"""The losses of a GAN by hand, with a linear discriminator whose penalty R1 has a closed form."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from baselines.gan import GAN
from bench.config.settings import Training
from bench.datasets.base import Dataset
from bench.methods.baseline import About
from bench.methods.batch import Batch, Context
from bench.methods.network import CountedNetwork
from bench.metrics.energy_distance import energy_distance
from bench.networks.mlp import mlp
from bench.training.trainer import Trainer

W, B = torch.tensor([0.6, -0.8]), 0.25


class Shift(nn.Module):
    """G(x0) = x0 + 2."""

    def __init__(self) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.by


def net(compiled: bool = False) -> CountedNetwork:
    discriminator = nn.Linear(2, 1)
    with torch.no_grad():
        discriminator.weight.copy_(W[None])
        discriminator.bias.fill_(B)
    return CountedNetwork(nn.ModuleDict({"generator": Shift(), "discriminator": discriminator}), compiled)


def drawn() -> tuple[Batch, Context, Tensor]:
    """A batch, its context, and the noise that the losses will draw."""
    noise = torch.randn(4, 2, generator=torch.Generator().manual_seed(5))
    x = torch.tensor([[0.5, 1.0], [-1.0, 2.0], [0.0, 0.0], [3.0, -1.0]])
    return Batch(x), Context(torch.Generator().manual_seed(5)), noise


def test_r1_of_a_linear_discriminator_is_half_gamma_times_its_squared_length() -> None:
    """|W|^2 = 1: gamma / 2 is added to binary cross-entropy on logits, which torch has."""
    for gamma in (0.0, 3.0):
        batch, context, x0 = drawn()
        found = GAN(gamma=gamma).judge(net(), batch, context)
        ones, zeros = torch.ones(4), torch.zeros(4)
        entropy = nn.functional.binary_cross_entropy_with_logits
        real = entropy(batch.x @ W + B, ones, reduction="none")
        fake = entropy((x0 + 2) @ W + B, zeros, reduction="none")
        torch.testing.assert_close(found, real + fake + gamma / 2)


def test_the_gradient_of_r1_is_gamma_times_the_weights() -> None:
    found = []
    for gamma in (0.0, 3.0):
        batch, context, _ = drawn()
        both = net()
        GAN(gamma=gamma).judge(both, batch, context).mean().backward()
        found.append(both.module["discriminator"].weight.grad[0])
        assert both.module["generator"].by.grad is None
    torch.testing.assert_close(found[1] - found[0], 3 * W)


class Once(torch.autograd.Function):
    """x as it is, with a derivative that has none, as what is compiled has."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.clone()


def test_r1_takes_its_second_derivative_through_what_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda module: lambda x: Once.apply(module(x)))
    found = []
    for compiled in (False, True):
        batch, context, _ = drawn()
        both = net(compiled)
        GAN().judge(both, batch, context).mean().backward()
        found.append(both.module["discriminator"].weight.grad)
        assert both.rows == 3 * 4
    torch.testing.assert_close(*found)


def test_the_generators_loss_does_not_saturate() -> None:
    """Its gradient by what the discriminator says is -1 / 2 at most where that is below 0."""
    batch, context, x0 = drawn()
    both = net()
    found = GAN().loss(both, batch, context)
    says = (x0 + 2) @ W + B
    torch.testing.assert_close(found, -says.sigmoid().log())
    found.sum().backward()
    torch.testing.assert_close(both.module["generator"].by.grad, (-(1 - says.sigmoid()) * W.sum()).sum())


def test_a_step_costs_five_rows_a_sample_and_a_draw_one() -> None:
    batch, context, x0 = drawn()
    both = net()
    GAN().judge(both, batch, context)
    assert both.rows == 3 * 4
    GAN().loss(both, batch, context)
    assert both.rows == 5 * 4
    GAN().model(both).samplers["generator"](x0, context.rng)
    assert both.rows == 6 * 4


class Small:
    """A `make` of small perceptrons."""

    def network(self, **inputs: Any) -> nn.Module:
        return mlp((2,), width=32, depth=2, **inputs)


@pytest.mark.slow
def test_it_learns_a_gaussian_far_from_its_noise() -> None:
    """Energy distances of seeds 0 to 2: 0.005 to 0.011. With the momentum of beta1 = 0.9 they are 0.22 to 0.99."""
    rng = torch.Generator().manual_seed(0)
    mean = torch.tensor([3.0, -1.0])
    data = mean + torch.randn(4096, 2, generator=rng) @ torch.tensor([[1.0, 0.6], [0.0, 0.5]])
    torch.manual_seed(0)
    gan = GAN()
    settings = Training(steps=200, batch=128, lr=1e-2, decay="cosine", ema=0.95)
    trainer = Trainer("r", settings, gan, gan.build(Small(), About((2,))), Dataset("d", "1", data, data), 0)
    for _ in range(200):
        trainer.take_step()
    net = CountedNetwork(trainer.average.frozen())
    drawn = gan.model(net).samplers["generator"](torch.randn(2000, 2, generator=rng), rng)
    assert (drawn.mean(0) - mean).abs().max() < 0.2
    assert energy_distance(drawn, data[:2000]) < 0.05
