"""Flow Matching with the optimal-transport path (Lipman et al., ICLR 2023).

L = E |v_t(x_t) - (x1 - (1 - sigma_min) x0)|^2,  x_t = t x1 + (1 - (1 - sigma_min) t) x0.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.baseline import Baseline, Network, mean_square, noise, register_baseline
from bench.ode import VelocityField
from bench.paths import OptimalTransport


@register_baseline("fm_ot", label="FM w/ OT")
@dataclass(frozen=True)
class FlowMatchingOT(Baseline):
    sigma_min: float = 0.0

    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        path = OptimalTransport(self.sigma_min)
        t, x0 = path.times(x1, rng), noise(x1, rng)
        return mean_square(net(t, path.sample(t, x0, x1)) - path.target(t, x0, x1))

    def velocity(self, net: Network) -> VelocityField:
        return lambda t, x: net(t.expand(len(x)), x)
