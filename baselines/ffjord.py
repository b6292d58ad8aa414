"""FFJORD: a continuous normalising flow trained by maximum likelihood (Grathwohl et al., ICLR 2019).

L = -log p(x1), by the change of variables along the ODE; every loss is an ODE solve.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.baseline import Baseline, Network, register_baseline
from bench.cnf import flow
from bench.ode import LOOP_DIMENSIONS, Solver, VelocityField, rademacher


@register_baseline("ffjord", label="FFJORD")
@dataclass(frozen=True)
class FFJORD(Baseline):
    rtol: float = 1e-5
    atol: float = 1e-5
    exact_up_to: int = LOOP_DIMENSIONS  # dimensions with the exact divergence, Hutchinson's estimate above
    adjoint: bool = False

    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        probes = None if x1[0].numel() <= self.exact_up_to else rademacher(x1, rng)
        solver = Solver("dopri5", self.rtol, self.atol)
        return -flow(self.velocity, net, x1, solver, probes, self.adjoint, energies=False).log_p

    def velocity(self, net: Network) -> VelocityField:
        return lambda t, x: net(t.expand(len(x)), x)
