"""Flows of coupling layers: each changes some of the variables by what the others, which it keeps, tell a network.

    y = b x + (1 - b) (x exp(s(b x)) + m(b x)),   log |det dy/dx| = sum (1 - b) s(b x),
    x = b y + (1 - b) (y - m(b y)) exp(-s(b y)),

with a mask b of ones and zeros (Dinh et al., ICLR 2017). s = a tanh(.) with a learnt for each variable; s = 0 makes the
layer additive, and of volume 1 (Dinh et al. 2014). Layers go through the masks in turn, each before its complement. Of
points they are halves. Of images they are a checkerboard of pixels, and rows: what a squeeze of 2 x 2 pixels into
channels would keep as the first half of its channels, so the layers after a squeeze are here, at the full resolution.
Nothing is factored out on the way and no layer normalises the batch.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bench.errors import NotApplicable
from bench.methods.baseline import About, Baseline, Make
from bench.methods.density import log_normal
from bench.methods.model import Model


class CouplingLayer(nn.Module):
    """s and m of a layer, of the shape of x (B, ...) each, by a network of x and the mask, or of x alone for s = 0."""

    mask: Tensor

    def __init__(self, net: nn.Module, mask: Tensor, affine: bool) -> None:
        super().__init__()
        self.net, self.limit = net, nn.Parameter(torch.ones(mask.shape)) if affine else None
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        kept = self.mask * x
        if self.limit is None:
            return torch.zeros_like(x), (1 - self.mask) * self.net(kept)
        s, m = self.net(torch.cat([kept, self.mask.expand_as(x)], 1)).chunk(2, 1)
        return (1 - self.mask) * self.limit * s.tanh(), (1 - self.mask) * m


class Stretch(nn.Module):
    """s of a layer that scales each variable by a factor of its own, beside m = 0."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.s = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.s.expand_as(x), torch.zeros_like(x)


class Forward(nn.ModuleList):
    """x (B, ...) -> z and log |det dz/dx| as one tensor, (B, D + 1)."""

    def forward(self, x: Tensor) -> Tensor:
        log_det = x.new_zeros(len(x))
        for layer in self:
            s, m = layer(x)
            x, log_det = x * s.exp() + m, log_det + s.flatten(1).sum(1)
        return torch.cat([x.flatten(1), log_det[:, None]], 1)


class Inverse(nn.ModuleList):
    """z (B, ...) -> x of its shape, the inverse of a Forward of the same layers."""

    def forward(self, z: Tensor) -> Tensor:
        for layer in reversed(list(self)):
            s, m = layer(z)
            z = (z - m) * (-s).exp()
        return z


def masks(shape: tuple[int, ...]) -> Iterator[Tensor]:
    """The masks of layer after layer, (D,) or (C, H, W), without end."""
    if len(shape) == 1:
        kept = [torch.arange(shape[0]) < shape[0] // 2]
    else:
        rows, columns = torch.arange(shape[1])[:, None], torch.arange(shape[2])
        kept = [(rows + columns) % 2 == 0, (rows + 0 * columns) % 2 == 0]
    while True:
        for mask in kept:
            yield from (each.expand(shape).float().clone() for each in (mask, ~mask))


@dataclass(frozen=True)
class CouplingLayers(Baseline):
    """A method that maximises the exact likelihood of coupling layers, whose networks are the run's own without a time.

    One pass through all layers, either way, is one evaluation.
    """

    needs_gaussian = True
    affine: ClassVar[bool] = True

    layers: int = 8

    def build(self, make: Make, data: About) -> nn.ModuleDict:
        """NotApplicable for samples of one variable, or that are given something; UsageError unless layers > 1."""
        if math.prod(data.shape) == 1:
            raise NotApplicable("a coupling layer needs two variables or more")
        if data.given is not None:
            raise NotApplicable("coupling layers are given nothing beside x")
        if self.layers < 2:
            self.refuse("layers", "2 or more are needed")
        channels = 2 * data.shape[0] if self.affine else data.shape[0]
        layers: list[nn.Module] = []
        for mask, _ in zip(masks(data.shape), range(self.layers), strict=False):
            net = make.network(time=False, shape=(channels, *data.shape[1:]))
            layers.append(CouplingLayer(net, mask, self.affine))
        if not self.affine:
            layers.append(Stretch(data.shape))
        return nn.ModuleDict({"encoder": Forward(layers), "decoder": Inverse(layers)})

    def encoded(self, net: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        """z (B, D) and log |det dz/dx| (B,) of x (B, ...)."""
        z, log_det = net["encoder"](x).tensor_split([-1], 1)
        return z, log_det[:, 0]

    def log_prob(self, net: Any, x: Tensor) -> Tensor:
        """log N(z; 0, I) + log |det dz/dx| in nats, (B,)."""
        z, log_det = self.encoded(net, x)
        return log_normal(z) + log_det

    def model(self, net: Any) -> Model:
        draw = {"inverse": lambda x0, rng: net["decoder"](x0)}
        absent = {"velocity": "coupling layers are no ODE", "bound": "its likelihood is exact"}
        return Model(log_prob=lambda x: self.log_prob(net, x), samplers=draw, absent=absent)
