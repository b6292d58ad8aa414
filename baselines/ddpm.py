"""DDPM's noise prediction on the continuous VP path (Ho et al., NeurIPS 2020; Song et al., ICLR 2021).

L = E |eps_t(x_t) - x0|^2,  x_t = alpha_t x1 + sigma_t x0;  the ODE follows from score = -eps / sigma.

Its native samplers (bench/methods/schedulers.py) are ancestral sampling and DDIM.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.methods.baseline import DiffusionBaseline, Network, Sampler, mean_square, noise, register_baseline
from bench.methods.ode import VelocityField
from bench.methods.schedulers import scheduled


@register_baseline("ddpm", label="DDPM")
@dataclass(frozen=True)
class DDPM(DiffusionBaseline):
    ancestral_steps: int = 1000
    ddim_steps: int = 50

    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        t, x0 = self.path.times(x1, rng), noise(x1, rng)
        return mean_square(net(t, self.path.sample(t, x0, x1)) - x0)

    def velocity(self, net: Network) -> VelocityField:
        return lambda t, x: self.path.velocity_from_eps(t, x, net(t.expand(len(x)), x))

    def samplers(self, net: Network) -> dict[str, Sampler]:
        def eps(t: Tensor, x: Tensor) -> Tensor:
            return net(t.expand(len(x)), x)

        return {
            f"ancestral-{self.ancestral_steps}": scheduled("ancestral", self.ancestral_steps, self.path, eps),
            f"ddim-{self.ddim_steps}": scheduled("ddim", self.ddim_steps, self.path, eps),
        }
