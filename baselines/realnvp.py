"""RealNVP, affine coupling layers of an exact likelihood (Dinh, Sohl-Dickstein & Bengio, ICLR 2017).

L = -log N(z; 0, I) - log |det dz/dx|,  z of x by layers  y = b x + (1 - b) (x exp(s(b x)) + m(b x)).

bench/methods/coupling_layers.py has the masks b, and what is left out of the paper's multi-scale architecture.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench import CouplingLayers, Network, register_baseline


@register_baseline("realnvp", label="RealNVP")
@dataclass(frozen=True)
class RealNVP(CouplingLayers):
    affine = True

    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        return -self.log_prob(net, x1)
