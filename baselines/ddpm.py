"""DDPM's noise prediction on the continuous VP path (Ho et al., NeurIPS 2020; Song et al., ICLR 2021).

L = E |eps_t(x_t) - x0|^2,  x_t = alpha_t x1 + sigma_t x0, if the network predicts the noise;  the ODE follows from
score = -eps / sigma.

Its own samplers are ancestral sampling and DDIM.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from bench import (
    DiffusionBaseline,
    GaussianFlow,
    Network,
    Prediction,
    Sampler,
    mean_square,
    noise,
    register_baseline,
)
from bench.samplers.ancestral import Ancestral
from bench.samplers.ddim import DDIM
from bench.samplers.scheduled import Steps


@register_baseline("ddpm", label="DDPM")
@dataclass(frozen=True)
class DDPM(DiffusionBaseline, GaussianFlow):
    ancestral_steps: Steps = 1000
    ddim_steps: Steps = 50
    prediction: Prediction = field(default="noise", kw_only=True)

    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        t, x0 = self.draw_times(x1, rng), noise(x1, rng)
        return mean_square(self.error(net(t, self.path.sample(t, x0, x1)), t, x0, x1))

    def samplers(self, net: Network) -> dict[str, Sampler]:
        return {
            f"ancestral-{self.ancestral_steps}": Ancestral(self.ancestral_steps),
            f"ddim-{self.ddim_steps}": DDIM(self.ddim_steps),
        }
