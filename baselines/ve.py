"""The VE diffusion with its denoiser (Song et al., ICLR 2021; as in table 1 of Karras et al., NeurIPS 2022).

L = E |D(x1 + s x0; s) - x1|^2 / s^2 = E |F + x0|^2,  D(y; s) = y + s F(y; ln(s / 2)),  ln(s) uniform.

Levels lie between 0.02 and 100. They fall geometrically with t, and samples keep noise of the least one.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bench import (
    DenoiserBaseline,
    Deviation,
    Network,
    NoiseLevels,
    Scaling,
    like,
    mean_square,
    noise,
    register_baseline,
)


@register_baseline("ve", label="VE")
@dataclass(frozen=True)
class VE(DenoiserBaseline):
    level_min: Deviation = 0.02
    level_max: Deviation = 100.0

    def check_options(self) -> None:
        super().check_options()
        if self.level_min >= self.level_max:
            self.refuse("level_min", f"a number below level_max = {self.level_max:g} is needed")

    @property
    def path(self) -> NoiseLevels:
        return NoiseLevels(self.level_max, self.level_min, math.inf)

    def scaling(self, s: Tensor) -> Scaling:
        one = torch.ones_like(s)
        return Scaling(one, s, one, (s / 2).log())

    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        s, x0 = self.path.level(self.path.times(x1, rng)), noise(x1, rng)
        return mean_square(self.denoised(net, s, x1 + like(s, x1) * x0) - x1) / s**2
