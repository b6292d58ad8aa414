"""DDPM's noise prediction on the continuous VP path (Ho et al., NeurIPS 2020; Song et al., ICLR 2021).

L = E |eps_t(x_t) - x0|^2,  x_t = alpha_t x1 + sigma_t x0;  the ODE follows from score = -eps / sigma.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.baseline import Baseline, Network, Sampler, mean_square, noise, register_baseline
from bench.ode import VelocityField
from bench.paths import VariancePreserving


@register_baseline("ddpm", label="DDPM")
@dataclass(frozen=True)
class DDPM(Baseline):
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
        return mean_square(net(t, self.path.sample(t, x0, x1)) - x0)

    def velocity(self, net: Network) -> VelocityField:
        return lambda t, x: self.path.velocity_from_eps(t, x, net(t.expand(len(x)), x))
