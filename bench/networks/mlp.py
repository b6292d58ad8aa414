"""A multilayer perceptron v(t, x) on points: time enters as one more input coordinate.

The paper's 2-D network is "an MLP with 5 layers of 512": width 512, depth 5.
"""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from bench.config.registry import register_network
from bench.config.settings import Positive

Activation = Literal["silu", "tanh", "softplus", "selu"]
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "selu": nn.SELU,
}


class MLP(nn.Module):
    """net(t, x): t (B,) and x (B, ...) -> (B, ...), through `depth` hidden layers of `width`."""

    def __init__(self, shape: tuple[int, ...], width: int, depth: int, activation: str) -> None:
        super().__init__()
        dim = int(torch.Size(shape).numel())
        sizes = [dim + 1] + [width] * depth
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(sizes):
            layers += [nn.Linear(fan_in, fan_out), ACTIVATIONS[activation]()]
        self.layers = nn.Sequential(*layers, nn.Linear(width, dim))

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        return self.layers(torch.cat([x.flatten(1), t[:, None]], 1)).view_as(x)


@register_network("mlp")
def mlp(
    shape: tuple[int, ...], width: Positive = 512, depth: Positive = 5, activation: Activation = "silu"
) -> nn.Module:
    return MLP(shape, width, depth, activation)
