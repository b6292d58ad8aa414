"""Flow Matching with the variance-preserving diffusion path (Lipman et al., ICLR 2023).

L = E |v_t(x_t) - u_t(x_t | x1)|^2 with u_t the velocity that generates p_t(x | x1) = N(alpha_t x1, sigma_t^2 I).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench import DiffusionBaseline, Network, VelocityField, mean_square, noise, register_baseline


@register_baseline("fm_diffusion", label="FM w/ Diffusion")
@dataclass(frozen=True)
class FlowMatchingDiffusion(DiffusionBaseline):
    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        t, x0 = self.path.times(x1, rng), noise(x1, rng)
        return mean_square(net(t, self.path.sample(t, x0, x1)) - self.path.target(t, x0, x1))

    def velocity(self, net: Network) -> VelocityField:
        return lambda t, x: net(t.expand(len(x)), x)
