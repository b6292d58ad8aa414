"""The VP diffusion with its denoiser (Song et al., ICLR 2021; as in table 1 of Karras et al., NeurIPS 2022).

L = E |D(x1 + s x0; s) - x1|^2 / s^2 = E |F - x0|^2,  D(y; s) = y - s F(y / sqrt(s^2 + 1); 1 - t),  s = s(t), t uniform.

F predicts the noise, and L is that of `ddpm`, but for the time that F is told: of noise, not of data.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench import DenoiserBaseline, DiffusionBaseline, Network, Scaling, like, mean_square, noise, register_baseline


@register_baseline("vp_sde", label="VP SDE")
@dataclass(frozen=True)
class VPSDE(DiffusionBaseline, DenoiserBaseline):
    def scaling(self, s: Tensor) -> Scaling:
        return Scaling(torch.ones_like(s), -s, torch.rsqrt(s**2 + 1), 1 - self.path.at_level(s))

    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        t, x0 = self.path.times(x1, rng), noise(x1, rng)
        s = self.path.sigma(t) / self.path.alpha(t)
        return mean_square(self.denoised(net, s, x1 + like(s, x1) * x0) - x1) / s**2
