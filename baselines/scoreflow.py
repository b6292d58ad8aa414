"""ScoreFlow: score matching weighted by the diffusion rate, a bound on the NLL (Song et al., NeurIPS 2021).

L = E |sigma_t s_t(x_t) + x0|^2 over t ~ p(t) = beta / (sigma^2 Z), as its authors draw it;  Z = int beta / sigma^2 dt.
`importance_sampling=false` takes t uniform and weighs by beta(1 - t) / sigma_t^2, the density of the bound itself:
that expectation is Z / t_end times L, with Z = log(e^T - 1) between the ends, 23.9 by default. The Flow Matching paper
does not say which it took. The network itself is the score s_t, as in the formulas of that paper (Lipman et al. 2023);
with `prediction=noise` it predicts the noise, s_t = -eps_t / sigma_t, as in the code of ScoreFlow's authors.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from bench import DiffusionBaseline, GaussianFlow, Network, mean_square, noise, register_baseline


@register_baseline("scoreflow", label="ScoreFlow")
@dataclass(frozen=True)
class ScoreFlow(DiffusionBaseline, GaussianFlow):
    importance_sampling: bool = True
    prediction: Literal["score", "noise"] = field(default="score", kw_only=True)
    times: Literal["uniform"] = field(default="uniform", kw_only=True)

    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        t, x0 = self.path.times(x1, rng), noise(x1, rng)
        if self.importance_sampling:
            (t, _), weight = self.path.likelihood_times(t / self.t_end), torch.ones_like(t)
        else:
            weight = self.path.beta(t) / self.path.sigma(t) ** 2
        return weight * mean_square(self.error(net(t, self.path.sample(t, x0, x1)), t, x0, x1))
