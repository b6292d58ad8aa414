"""Denoising score matching on the VP path, weighted by the variance (Song & Ermon 2019; Song et al., ICLR 2021).

L = E sigma_t^2 |s_t(x_t) + x0 / sigma_t|^2 = E |sigma_t s_t(x_t) + x0|^2. The network itself is the score s_t, as in
the formulas of the Flow Matching paper (Lipman et al. 2023). With `prediction=noise` it predicts the noise, s_t =
-eps_t / sigma_t as in the code of Song et al., which makes it the loss of DDPM.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from bench import DiffusionBaseline, GaussianFlow, Network, Prediction, mean_square, noise, register_baseline


@register_baseline("score_matching", label="Score Matching")
@dataclass(frozen=True)
class ScoreMatching(DiffusionBaseline, GaussianFlow):
    prediction: Prediction = field(default="score", kw_only=True)

    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        t, x0 = self.draw_times(x1, rng), noise(x1, rng)
        return mean_square(self.error(net(t, self.path.sample(t, x0, x1)), t, x0, x1))
