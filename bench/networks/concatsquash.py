"""FFJORD's network for points: layers whose gain and shift depend on time (Grathwohl et al., ICLR 2019).

h <- act( (W h + b) * sigmoid(g t + c) + k t ), with no activation after the last layer.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from bench.config.registry import register_network
from bench.config.settings import Positive
from bench.networks.mlp import ACTIVATIONS, Activation


class ConcatSquashLinear(nn.Module):
    """(W h + b) sigmoid(g t + c) + k t for h (B, fan_in), t (B, 1)."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(fan_in, fan_out)
        self.gate = nn.Linear(1, fan_out)
        self.shift = nn.Linear(1, fan_out, bias=False)

    def forward(self, t: Tensor, h: Tensor) -> Tensor:
        return self.linear(h) * torch.sigmoid(self.gate(t)) + self.shift(t)


class ConcatSquash(nn.Module):
    """net(t, x): t (B,) and x (B, ...) -> (B, ...)."""

    def __init__(self, shape: tuple[int, ...], width: int, depth: int, activation: str) -> None:
        super().__init__()
        dim = int(torch.Size(shape).numel())
        sizes = [dim] + [width] * depth + [dim]
        self.layers = nn.ModuleList(ConcatSquashLinear(a, b) for a, b in pairwise(sizes))
        self.activation = ACTIVATIONS[activation]()

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        h, t = x.flatten(1), t[:, None]
        for layer in self.layers[:-1]:
            h = self.activation(layer(t, h))
        return self.layers[-1](t, h).view_as(x)


@register_network("concatsquash")
def concatsquash(
    shape: tuple[int, ...], width: Positive = 64, depth: Positive = 3, activation: Activation = "tanh"
) -> nn.Module:
    return ConcatSquash(shape, width, depth, activation)
