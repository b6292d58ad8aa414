"""Flow Matching with the variance-preserving diffusion path (Lipman et al., ICLR 2023).

L = E |v_t(x_t) - u_t(x_t | x1)|^2 with u_t the velocity that generates p_t(x | x1) = N(alpha_t x1, sigma_t^2 I), if
the network predicts v. One that predicts the data makes the ODE stiff near its end (bench/methods/prediction.py).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench import DiffusionBaseline, GaussianFlow, Network, mean_square, noise, register_baseline


@register_baseline("fm_diffusion", label="FM w/ Diffusion")
@dataclass(frozen=True)
class FlowMatchingDiffusion(DiffusionBaseline, GaussianFlow):
    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        t, x0 = self.draw_times(x1, rng), noise(x1, rng)
        return mean_square(self.error(net(t, self.path.sample(t, x0, x1)), t, x0, x1))
