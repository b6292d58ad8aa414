"""FFJORD's network for points: layers whose gain and shift depend on time (Grathwohl et al., ICLR 2019).

h <- act( (W h + b) * sigmoid(g t + c) + k t ), with no activation after the last layer. What the network takes beside t
and x (bench/networks/inputs.py) joins t as further coordinates of that vector.
"""

from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

from bench.config.registry import register_network
from bench.config.settings import Positive
from bench.networks.inputs import Inputs, Shape
from bench.networks.mlp import ACTIVATIONS, Activation


class ConcatSquashLinear(nn.Module):
    """(W h + b) sigmoid(g t + c) + k t for h (B, fan_in), t (B, numbers)."""

    def __init__(self, fan_in: int, fan_out: int, numbers: int = 1) -> None:
        super().__init__()
        self.linear = nn.Linear(fan_in, fan_out)
        self.gate = nn.Linear(numbers, fan_out)
        self.shift = nn.Linear(numbers, fan_out, bias=False)

    def forward(self, t: Tensor, h: Tensor) -> Tensor:
        return self.linear(h) * torch.sigmoid(self.gate(t)) + self.shift(t)


class ConcatSquash(nn.Module):
    """net(t, x): t (B,) and x (B, ...) -> (B, ...)."""

    def __init__(self, inputs: Inputs, width: int, depth: int, activation: str) -> None:
        super().__init__()
        self.inputs, self.classes = inputs, inputs.classes
        dim = prod(inputs.shape)
        sizes = [dim + inputs.channels * prod(inputs.shape[1:])] + [width] * depth + [dim]
        self.layers = nn.ModuleList(ConcatSquashLinear(a, b, inputs.numbers) for a, b in pairwise(sizes))
        self.activation = ACTIVATIONS[activation]()

    def forward(self, t: Tensor, x: Tensor, **more: Tensor | None) -> Tensor:
        h, numbers = x.flatten(1), torch.cat(self.inputs.joined((t,), x, **more), 1)
        for layer in self.layers[:-1]:
            h = self.activation(layer(numbers, h))
        y: Tensor = self.layers[-1](numbers, h)
        return y.unflatten(1, self.inputs.shape)


@register_network("concatsquash")
def concatsquash(
    shape: Shape,
    width: Positive = 64,
    depth: Positive = 3,
    activation: Activation = "tanh",
    second_time: bool = False,
    classes: int | None = None,
    given: Shape | int = (),
) -> nn.Module:
    """FFJORD's network on points, whose layers time scales and shifts (Grathwohl et al., ICLR 2019)."""
    return ConcatSquash(Inputs("concatsquash", shape, second_time, classes, given), width, depth, activation)
