"""ScoreFlow: score matching weighted by the diffusion rate, a bound on the NLL (Song et al., NeurIPS 2021).

L = E beta(1 - t) |s_t(x_t) + x0 / sigma_t|^2. Drawing t from p(t) ~ beta / sigma^2, as its authors do, gives the same
expectation as Z E |sigma_t s_t + x0|^2 with Z = int beta / sigma^2 dt = log(e^T - 1) between the ends. The Flow
Matching paper does not say whether it did; `importance_sampling=false` takes t uniform.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench import DiffusionBaseline, Network, VelocityField, like, mean_square, noise, register_baseline


@register_baseline("scoreflow", label="ScoreFlow")
@dataclass(frozen=True)
class ScoreFlow(DiffusionBaseline):
    importance_sampling: bool = True

    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        t, x0 = self.path.times(x1, rng), noise(x1, rng)
        if self.importance_sampling:
            t, weight = self.path.likelihood_times(t / self.t_end)
        else:
            weight = self.path.beta(t) / self.path.sigma(t) ** 2
        score = net(t, self.path.sample(t, x0, x1))
        return weight * mean_square(like(self.path.sigma(t), x1) * score + x0)

    def velocity(self, net: Network) -> VelocityField:
        return lambda t, x: self.path.velocity_from_score(t, x, net(t.expand(len(x)), x))
