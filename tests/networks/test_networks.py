"""Networks: net(t, x) of the right shape and size, that feel the time and have the derivatives that flows need."""

import inspect
import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from oracles import divergence
from tiny import UNET2D
from torch import nn

from bench.config.registry import networks
from bench.errors import UsageError
from bench.networks.concatsquash import ConcatSquashLinear, concatsquash
from bench.networks.mlp import mlp
from bench.networks.unet import unet

SMALL = {
    "mlp": {"width": 16, "depth": 2},
    "concatsquash": {"width": 16, "depth": 2},
    "adm": {"channels": 8, "multiples": [1, 2], "blocks": 1, "attention": [4], "head_channels": 8},
    "unet": {"channels": [8, 16], "layers": 1, "attention": [1], "head_channels": 8, "groups": 4},
    "diffusers_unet": {"config": UNET2D},
}
OF_IMAGES = ("unet", "adm", "diffusers_unet")


def small(name: str, shape: tuple[int, ...]) -> nn.Module:
    torch.manual_seed(0)
    return networks[name](shape, **SMALL.get(name, {}))


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


NAMES = [pytest.param(name, marks=pytest.mark.slow) if name in OF_IMAGES else name for name in networks]


@pytest.mark.parametrize("name", NAMES)
def test_output_has_the_shape_of_a_sample(name: str) -> None:
    shape = (1, 8, 8) if name in OF_IMAGES else (2,)
    net = small(name, shape)
    x, t = torch.randn(5, *shape), torch.rand(5)
    y = net(t, x)
    assert y.shape == x.shape and y.dtype == x.dtype
    alone = torch.cat([net(t[i : i + 1], x[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(alone, y, rtol=1e-4, atol=1e-5)


def test_mlp_of_the_paper_has_its_parameters() -> None:
    """Five layers of 512 between 3 inputs and 2 outputs."""
    assert count(mlp((2,))) == (3 * 512 + 512) + 4 * (512 * 512 + 512) + (512 * 2 + 2)


def test_mlp_by_hand() -> None:
    net = mlp((2,), width=3, depth=1, activation="tanh")
    first, _, last = net.layers
    t, x = torch.tensor([0.25, 0.5]), torch.tensor([[1.0, -1.0], [0.5, 2.0]])
    hidden = torch.tanh(torch.cat([x, t[:, None]], 1) @ first.weight.T + first.bias)
    torch.testing.assert_close(net(t, x), hidden @ last.weight.T + last.bias)


def test_mlp_takes_images() -> None:
    assert mlp((1, 4, 4), width=8, depth=1)(torch.rand(3), torch.randn(3, 1, 4, 4)).shape == (3, 1, 4, 4)


def test_concatsquash_by_hand() -> None:
    """(W h + b) sigmoid(g t + c) + k t."""
    layer = ConcatSquashLinear(2, 3)
    t, h = torch.tensor([[0.3]]), torch.tensor([[1.0, -2.0]])
    gate = 1 / (1 + torch.exp(-(layer.gate.weight[:, 0] * 0.3 + layer.gate.bias)))
    expected = (layer.linear.weight @ h[0] + layer.linear.bias) * gate + layer.shift.weight[:, 0] * 0.3
    torch.testing.assert_close(layer(t, h)[0], expected)


def test_ffjords_toy_network_has_its_parameters() -> None:
    """2 - 64 - 64 - 64 - 2, and for every layer a gain, its bias and a shift of its width."""
    widths = [2, 64, 64, 64, 2]
    assert count(concatsquash((2,))) == sum(a * b + b + 3 * b for a, b in pairwise(widths))


@pytest.mark.parametrize("name", ["mlp", "concatsquash"])
def test_time_matters(name: str) -> None:
    net, x = small(name, (2,)), torch.randn(4, 2)
    assert not torch.allclose(net(torch.zeros(4), x), net(torch.ones(4), x))


@pytest.mark.slow
def test_an_untrained_unet_is_zero_and_feels_the_time_once_it_is_not() -> None:
    net = small("unet", (1, 8, 8))
    x = torch.randn(2, 1, 8, 8)
    assert not net(torch.rand(2), x).any()
    nn.init.normal_(net.model.conv_out.weight)
    assert not torch.allclose(net(torch.zeros(2), x), net(torch.full((2,), 1e-3), x), atol=1e-4)


@pytest.mark.slow
def test_attention_stands_where_it_is_asked_for() -> None:
    with_, without = (unet((3, 8, 8), [8, 16], 1, where, 8, 4) for where in ([1], []))
    names = [type(block).__name__ for block in with_.model.down_blocks]
    assert names == ["DownBlock2D", "AttnDownBlock2D"]
    assert [type(block).__name__ for block in with_.model.up_blocks] == ["AttnUpBlock2D", "UpBlock2D"]
    assert count(with_) > count(without)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((2,), {}, r"shape = \(2,\): images"),
        ((3, 30, 32), {"channels": [8, 8, 8]}, r"shape = \(3, 30, 32\): sides divisible by 4 are needed for 3 levels"),
        ((1, 28, 28), {"channels": [8] * 4}, r"shape = \(1, 28, 28\): sides divisible by 8 are needed for 4 levels"),
        ((1, 8, 8), {"channels": []}, r"channels = \[\]: a number above 0"),
        ((1, 8, 8), {"channels": [8, 0]}, r"channels = \[8, 0\]: a number above 0"),
        ((1, 8, 8), {"layers": 0}, "layers = 0: a number above 0"),
        ((1, 8, 8), {"groups": 0}, "groups = 0: a number above 0"),
        ((1, 8, 8), {"channels": [12, 16]}, r"groups = 8: it must divide all of channels = \[12, 16\]"),
        ((1, 8, 8), {"attention": [2]}, r"attention = \[2\]: levels 0 to 1 are there"),
        ((1, 8, 8), {"channels": [8, 8]}, r"head_channels = 16: the levels that attend have \[8\] channels"),
    ],
)
def test_bad_options_of_a_unet_are_named(shape: tuple[int, ...], options: dict[str, Any], message: str) -> None:
    def checked(*arguments: Any, **more: Any) -> None:
        call = inspect.signature(networks["unet"]).bind(*arguments, **more)
        call.apply_defaults()
        networks["unet"].check(**call.arguments)

    for attempt in (unet, checked):
        with pytest.raises(UsageError, match=f"^network unet: {message}") as error:
            attempt(shape, **options)
        assert "\n" not in str(error.value)


@pytest.mark.slow  # as what imports diffusers is
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((3, 4, 12), {"channels": [8, 16, 24]}),
        ((1, 7, 7), {"channels": [24]}),
        ((1, 8, 8), {"channels": [8, 20], "groups": 4}),
    ],
)
def test_what_the_check_lets_pass_runs(shape: tuple[int, ...], options: dict[str, Any]) -> None:
    with torch.no_grad():
        assert unet(shape, **options)(torch.rand(2), torch.randn(2, *shape)).shape == (2, *shape)


@pytest.mark.slow
@pytest.mark.parametrize("create_graph", [False, True])
def test_the_divergence_of_a_unet_is_the_trace_of_its_jacobian(create_graph: bool) -> None:
    """Through attention, batched and with a second derivative: what likelihood and FFJORD need."""
    net = small("unet", (1, 4, 4)).double()
    nn.init.normal_(net.model.conv_out.weight, std=0.1)
    x, t = torch.randn(1, 1, 4, 4, dtype=torch.float64), torch.tensor(0.4, dtype=torch.float64)

    def f(t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return net(t.expand(len(x)), x)

    _, trace = divergence(f, t, x, create_graph=create_graph)
    jacobian = torch.autograd.functional.jacobian(lambda y: f(t, y), x).reshape(16, 16)
    torch.testing.assert_close(trace[0].detach(), jacobian.trace())
    if create_graph:
        trace.sum().backward()
        grads = [p.grad for p in net.parameters() if p.grad is not None]
        assert (
            grads and all(torch.isfinite(g).all() for g in grads) and math.fsum(float(g.abs().sum()) for g in grads) > 0
        )
