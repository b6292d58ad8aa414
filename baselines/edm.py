"""EDM: a denoiser whose inputs and targets have unit variance at every noise level (Karras et al., NeurIPS 2022).

L = E lambda(s) |D(x1 + s x0; s) - x1|^2,  D(y; s) = c_skip y + c_out F(c_in y; ln(s) / 4),
lambda(s) = (s^2 + d^2) / (s d)^2 = 1 / c_out^2,  ln(s) ~ N(mean + ln(d / 0.5), std^2),  d = sigma_data.

d is the deviation of the data in model space, of all dimensions together. It is measured unless it is set; the authors
set 0.5. Noise levels go with d, and are theirs at d = 0.5. Samples are drawn from s = 80 down to
0.002. The authors augment images and drop out units; neither is part of this file.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench import (
    DenoiserBaseline,
    LogMean,
    LogStd,
    Network,
    NoiseLevels,
    ScaledToData,
    Scaling,
    edm_scaling,
    like,
    log_normal_levels,
    mean_square,
    noise,
    register_baseline,
)


@register_baseline("edm", label="EDM")
@dataclass(frozen=True)
class EDM(ScaledToData, DenoiserBaseline):
    mean: LogMean = -1.2
    std: LogStd = 1.2

    @property
    def path(self) -> NoiseLevels:
        return NoiseLevels()

    def scaling(self, s: Tensor) -> Scaling:
        return edm_scaling(s, self.sigma_data)

    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        s, x0 = log_normal_levels(x1, rng, self.mean, self.std, self.sigma_data), noise(x1, rng)
        weight = (s**2 + self.sigma_data**2) / (s * self.sigma_data) ** 2
        return weight * mean_square(self.denoised(net, s, x1 + like(s, x1) * x0) - x1)
