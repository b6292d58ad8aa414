"""NICE, additive coupling layers of an exact likelihood (Dinh, Krueger & Bengio, ICLR workshop 2015).

L = -log N(z; 0, I) - sum_i a_i,  z = exp(a) y,  y of x by layers of volume 1  y = b x + (1 - b) (x + m(b x)).

The masks b are those of bench/methods/coupling_layers.py. The paper's other prior, a logistic one, is not here.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench import CouplingLayers, Network, register_baseline


@register_baseline("nice", label="NICE")
@dataclass(frozen=True)
class NICE(CouplingLayers):
    affine = False

    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        return -self.log_prob(net, x1)
