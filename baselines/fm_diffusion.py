"""Flow Matching with the variance-preserving diffusion path (Lipman et al., ICLR 2023).

L = E |v_t(x_t) - u_t(x_t | x1)|^2 with u_t the velocity that generates p_t(x | x1) = N(alpha_t x1, sigma_t^2 I).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.baseline import Baseline, Network, mean_square, noise, register_baseline
from bench.ode import VelocityField
from bench.paths import VariancePreserving


@register_baseline("fm_diffusion", label="FM w/ Diffusion")
@dataclass(frozen=True)
class FlowMatchingDiffusion(Baseline):
    beta_min: float = 0.1
    beta_max: float = 20.0

    @property
    def path(self) -> VariancePreserving:
        return VariancePreserving(self.beta_min, self.beta_max)

    @property
    def t_end(self) -> float:
        return self.path.t_end

    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        t, x0 = self.path.times(x1, rng), noise(x1, rng)
        return mean_square(net(t, self.path.sample(t, x0, x1)) - self.path.target(t, x0, x1))

    def velocity(self, net: Network) -> VelocityField:
        return lambda t, x: net(t.expand(len(x)), x)
