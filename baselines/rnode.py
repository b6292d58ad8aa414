"""RNODE: FFJORD with an optimal-transport cost on the flow (Finlay et al., ICML 2020).

L = -log p(x1) + kinetic int |v|^2 dt + jacobian int |dv/dx|_F^2 dt, the last with Hutchinson's
probe in high dimension.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.baseline import Baseline, Network, register_baseline
from bench.cnf import flow
from bench.ode import LOOP_DIMENSIONS, Solver, VelocityField, rademacher


@register_baseline("rnode", label="RNODE")
@dataclass(frozen=True)
class RNODE(Baseline):
    kinetic: float = 0.01
    jacobian: float = 0.01
    rtol: float = 1e-5
    atol: float = 1e-5
    exact_up_to: int = LOOP_DIMENSIONS  # dimensions with the exact divergence, Hutchinson's estimate above
    adjoint: bool = False

    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        probes = None if x1[0].numel() <= self.exact_up_to else rademacher(x1, rng)
        path = flow(self.velocity, net, x1, Solver("dopri5", self.rtol, self.atol), probes, self.adjoint)
        return -path.log_p + self.kinetic * path.kinetic + self.jacobian * path.jacobian

    def velocity(self, net: Network) -> VelocityField:
        return lambda t, x: net(t.expand(len(x)), x)
