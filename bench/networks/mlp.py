"""A multilayer perceptron v(t, x) on points: time enters as one more input coordinate.

The paper's 2-D network is "an MLP with 5 layers of 512": width 512, depth 5.
"""

from itertools import pairwise
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn

from bench.config.registry import register_network
from bench.config.settings import Positive
from bench.networks.inputs import Inputs, Shape

Activation = Literal["silu", "tanh", "softplus", "selu"]
ACTIVATIONS: dict[str, type[nn.Module]] = {"silu": nn.SiLU, "tanh": nn.Tanh, "softplus": nn.Softplus, "selu": nn.SELU}


class MLP(nn.Module):
    """net(t, x), or net(x) without a time: x (B, ...) -> (B, ...) or (B, out), through `depth` hidden layers."""

    def __init__(self, inputs: Inputs, width: int, depth: int, activation: str) -> None:
        super().__init__()
        self.inputs, self.classes = inputs, inputs.classes
        dim = prod(inputs.shape)
        sizes = [dim + inputs.channels * prod(inputs.shape[1:]) + inputs.numbers] + [width] * depth
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(sizes):
            layers += [nn.Linear(fan_in, fan_out), ACTIVATIONS[activation]()]
        self.layers = nn.Sequential(*layers, nn.Linear(width, inputs.out or dim))

    def forward(self, *inputs: Tensor, **more: Tensor | None) -> Tensor:
        *t, x = inputs
        y: Tensor = self.layers(torch.cat([x.flatten(1), *self.inputs.joined(tuple(t), x, **more)], 1))
        return y if self.inputs.out else y.unflatten(1, self.inputs.shape)


def check(
    shape: Shape, second_time: bool, classes: int | None, given: Shape | int, time: bool, out: int | None, **_: object
) -> Inputs:
    """What the network takes; UsageError for inputs that cannot be, or a number of outputs below 1."""
    return Inputs("mlp", shape, second_time, classes, given, time, out)


@register_network("mlp", check=check)
def mlp(
    shape: Shape,
    width: Positive = 512,
    depth: Positive = 5,
    activation: Activation = "silu",
    second_time: bool = False,
    classes: int | None = None,
    given: Shape | int = (),
    time: bool = True,
    out: int | None = None,
) -> nn.Module:
    """A multilayer perceptron on points; time and all else that it is told are further coordinates."""
    return MLP(check(shape, second_time, classes, given, time, out), width, depth, activation)
