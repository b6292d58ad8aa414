"""A flow of affine coupling layers (Dinh et al., ICLR 2017), on points or on the pixels of small images.

L = -log N(z; 0, I) - log |det dz/dx|,  z_a = x_a,  z_b = x_b exp(tanh s(x_a)) + m(x_a), the halves swapped each layer.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn

from bench import Baseline, Model, register_baseline


class Encoder(nn.ModuleList):
    """x (B, ...) -> (z, log |det dz/dx|) as one tensor (B, D + 1)."""

    def forward(self, x):
        z, det = x.flatten(1), 0.0
        for layer in self:
            a, b = z.tensor_split([layer[0].in_features], 1)
            s, m = layer(a).chunk(2, 1)
            z, det = torch.cat([b * s.tanh().exp() + m, a], 1), det + s.tanh().sum(1)
        return torch.cat([z, det[:, None]], 1)


class Decoder(nn.ModuleList):
    """Its inverse, by the same layers: z (B, ...) -> x (B, ...)."""

    def forward(self, z):
        x = z.flatten(1)
        for layer in reversed(list(self)):
            b, a = x.tensor_split([-layer[0].in_features], 1)
            s, m = layer(a).chunk(2, 1)
            x = torch.cat([a, (b - m) * (-s.tanh()).exp()], 1)
        return x.view_as(z)


@register_baseline("coupling", label="Coupling flow")
@dataclass(frozen=True)
class Coupling(Baseline):
    layers: int = 6
    width: int = 64

    def build(self, make, data):
        dim, w = math.prod(data.shape), self.width
        halves = [(dim // 2, dim - dim // 2), (dim - dim // 2, dim // 2)] * self.layers
        layers = [nn.Sequential(nn.Linear(a, w), nn.SiLU(), nn.Linear(w, 2 * b)) for a, b in halves[: self.layers]]
        return nn.ModuleDict({"encoder": Encoder(layers), "decoder": Decoder(layers)})

    def log_prob(self, net, x):
        z, det = net["encoder"](x).tensor_split([-1], 1)
        return det[:, 0] - (z.square() + math.log(2 * math.pi)).sum(1) / 2

    def loss(self, net, x1, rng):
        return -self.log_prob(net, x1)

    def model(self, net):
        draw = {"inverse": lambda x0, rng: net["decoder"](x0)}
        return Model(log_prob=lambda x: self.log_prob(net, x), samplers=draw)
