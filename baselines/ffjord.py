"""FFJORD: a continuous normalising flow trained by maximum likelihood (Grathwohl et al., ICLR 2019).

L = -log p(x1), by the change of variables along the ODE; every loss is an ODE solve.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench import Network, register_baseline
from bench.methods.cnf import SimulatedBaseline


@register_baseline("ffjord", label="FFJORD")
@dataclass(frozen=True)
class FFJORD(SimulatedBaseline):
    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        return -self.flow(net, x1, rng).log_p
