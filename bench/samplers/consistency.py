"""Multistep sampling of a consistency function f: to the data, and back to less noise (Song et al., ICML 2023).

    x1 <- f(t_0, x0);    x1 <- f(t_i, alpha_i x1 + sigma_i z),  z ~ N(0, I),  i = 1 ... N - 1,

at the times of the grid but for its last. N steps cost N evaluations.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.config.settings import Positive
from bench.methods.model import Model
from bench.methods.sampler import register_sampler
from bench.samplers.gridded import Gridded


@register_sampler("consistency")
@dataclass(frozen=True)
class Consistency(Gridded):
    needs = ("consistency", "path")
    steps: Positive = 1

    def sample(self, model: Model, x0: Tensor, rng: torch.Generator) -> Tensor:
        path, clean = model.having("path"), model.having("consistency")
        first, *later = self.ends(model, x0)[:-1]
        x1 = clean(first.to(x0), x0)
        for t in later:
            z = torch.randn(x0.shape, generator=rng, device=x0.device, dtype=x0.dtype)
            x1 = clean(t.to(x0), path.alpha(t).to(x0) * x1 + path.sigma(t).to(x0) * z)
        return x1
