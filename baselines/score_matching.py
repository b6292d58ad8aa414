"""Denoising score matching on the VP path, weighted by the variance (Song & Ermon 2019; Song et al., ICLR 2021).

L = E sigma_t^2 |s_t(x_t) + x0 / sigma_t|^2 = E |sigma_t s_t(x_t) + x0|^2: the network itself is the score s_t.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench import DiffusionBaseline, Network, VelocityField, like, mean_square, noise, register_baseline


@register_baseline("score_matching", label="Score Matching")
@dataclass(frozen=True)
class ScoreMatching(DiffusionBaseline):
    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        t, x0 = self.path.times(x1, rng), noise(x1, rng)
        score = net(t, self.path.sample(t, x0, x1))
        return mean_square(like(self.path.sigma(t), x1) * score + x0)

    def velocity(self, net: Network) -> VelocityField:
        return lambda t, x: self.path.velocity_from_score(t, x, net(t.expand(len(x)), x))
