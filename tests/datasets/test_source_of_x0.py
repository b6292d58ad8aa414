"""A law of x0 that is not N(0, I): what it must keep, and that noise is drawn from it in training."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.fm_ot import FlowMatchingOT
from bench.config.settings import Training
from bench.datasets.base import Dataset
from bench.datasets.contract import checked
from bench.datasets.source import Draws, check_source, drawn
from bench.errors import UsageError
from bench.methods.flow import noise
from bench.networks.mlp import mlp
from bench.training.seeds import generator
from bench.training.trainer import Trainer


class Box:
    """Uniform on [0, 2]^2."""

    def draw(self, rng: torch.Generator) -> Tensor:
        return 2 * torch.rand(2, generator=rng, device=rng.device)

    def log_prob(self, x0: Tensor) -> Tensor:
        return torch.full((len(x0),), -math.log(4))


class Quick(Box):
    def draws(self, n: int, rng: torch.Generator) -> Tensor:
        return 2 * torch.rand(n, 2, generator=rng, device=rng.device)


class Without:
    """A source without a density."""

    draw = Box.draw


@pytest.mark.parametrize("source", [Box(), Quick(), Without()])
def test_what_keeps_the_contract_passes(source: Any) -> None:
    assert check_source(source, (2,)) == ""
    x = torch.zeros(4, 2)
    dataset = Dataset("boxed", "1", x, x, source=source)
    assert checked("boxed", dataset) is dataset


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        (object(), "source is a object without draw"),
        (
            type("S", (), {"draw": lambda self, rng: torch.rand(3, generator=rng)})(),
            r"float32 \(3,\), not float32 \(2,\)",
        ),
        (type("S", (), {"draw": lambda self, rng: torch.rand(2).double()})(), r"source\.draw gives float64"),
        (type("S", (), {"draw": lambda self, rng: torch.rand(2)})(), "two answers from one state of its generator"),
        (
            type("S", (Box,), {"draws": lambda self, n, rng: torch.zeros(2)})(),
            r"source\.draws of 3 samples is float32 \(2,\)",
        ),
        (type("S", (Box,), {"log_prob": lambda self, x0: x0})(), r"source\.log_prob of 3 draws is float32 \(3, 2\)"),
        (type("S", (Box,), {"log_prob": lambda self, x0: x0[:, 0] / 0})(), "not 3 finite"),
        (type("S", (), {"draw": lambda self, rng: 1 / 0})(), "source: ZeroDivisionError"),
    ],
)
def test_what_breaks_it_is_named(source: Any, rule: str) -> None:
    x = torch.zeros(4, 2)
    with pytest.raises(UsageError, match=f"^dataset boxed: .*{rule}") as caught:
        checked("boxed", Dataset("boxed", "1", x, x, source=source))
    assert "\n" not in str(caught.value)


def test_noise_is_that_of_the_source_which_the_generator_carries() -> None:
    x1 = torch.zeros(500, 2, dtype=torch.float64)
    rng = Draws().manual_seed(0)
    rng.source = Box()
    x0 = noise(x1, rng)
    assert x0.dtype == x1.dtype and x0.shape == x1.shape and 0 <= x0.min() < 0.1 and 1.9 < x0.max() <= 2
    again = torch.Generator().manual_seed(0)
    assert torch.equal(x0, torch.stack([Box().draw(again) for _ in range(500)]).double())
    assert torch.equal(drawn(Quick(), 5, Draws().manual_seed(1)), Quick().draws(5, torch.Generator().manual_seed(1)))


def test_without_a_source_noise_is_as_it_always_was() -> None:
    x1 = torch.zeros(5, 3)
    expected = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    for rng in (Draws(), torch.Generator()):
        assert torch.equal(noise(x1, rng.manual_seed(0)), expected)


def boxed() -> Dataset:
    x = torch.randn(32, 2, generator=torch.Generator().manual_seed(0))
    return Dataset("boxed", "1", x, x, source=Box())


def test_a_loss_starts_from_the_source_of_its_data() -> None:
    starts: list[Tensor] = []

    class Keeping(FlowMatchingOT):
        def loss(self, net: Any, x1: Tensor, rng: torch.Generator) -> Tensor:
            starts.append(noise(x1, rng))
            return super().loss(net, x1, rng)

    Trainer("r", Training(steps=1, batch=16), Keeping(), mlp((2,), width=4, depth=1), boxed(), 0).take_step()
    again = generator(0, "training")
    assert torch.equal(starts[0], torch.stack([Box().draw(again) for _ in range(16)]))
