"""Image enlargement by a conditional diffusion that knows its noise level (Saharia et al., 2021).

L = E |eps(alpha_t, x_t, c) - x0|_1 / d,  x_t = alpha_t x1 + sigma_t x0,  c the enlarged small image.

The network is told alpha_t in the place of the time. The noise levels are those of the continuous VP path that all
diffusions of this project share, instead of SR3's own piecewise law; hence "style". Sampling is ancestral.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench import DiffusionBaseline, Network, Sampler, VelocityField, noise, register_baseline
from bench.samplers.ancestral import Ancestral
from bench.samplers.scheduled import Steps


@register_baseline("sr3", label="SR3-style DDPM", needs_given=True)
@dataclass(frozen=True)
class SR3(DiffusionBaseline):
    ancestral_steps: Steps = 1000

    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        t, x0 = self.path.times(x1, rng), noise(x1, rng)
        error = net(self.path.alpha(t), self.path.sample(t, x0, x1)) - x0
        return error.abs().flatten(1).mean(1)

    def eps(self, net: Network) -> VelocityField:
        return lambda t, x: net(self.path.alpha(t).expand(len(x)), x)

    def velocity(self, net: Network) -> VelocityField:
        eps = self.eps(net)
        return lambda t, x: self.path.velocity_from_eps(t, x, eps(t, x))

    def samplers(self, net: Network) -> dict[str, Sampler]:
        return {f"ancestral-{self.ancestral_steps}": Ancestral(self.ancestral_steps)}
