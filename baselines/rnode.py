"""RNODE: FFJORD with an optimal-transport cost on the flow (Finlay et al., ICML 2020).

L = -log p(x1) + kinetic int |v|^2 dt + jacobian int |dv/dx|_F^2 dt, the last with Hutchinson's
probe in high dimension.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.baseline import Network, register_baseline
from bench.cnf import SimulatedBaseline


@register_baseline("rnode", label="RNODE")
@dataclass(frozen=True)
class RNODE(SimulatedBaseline):
    kinetic: float = 0.01
    jacobian: float = 0.01

    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        path = self.flow(net, x1, rng, energies=True)
        return -path.log_p + self.kinetic * path.kinetic + self.jacobian * path.jacobian
