"""Steps of a learnt flow map (Boffi et al., 2024): x_{i+1} = X(t_i, t_{i+1}, x_i), one evaluation each."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from bench.config.settings import Positive
from bench.methods.model import Model
from bench.methods.sampler import register_sampler
from bench.samplers.gridded import Gridded


@register_sampler("flow_map")
@dataclass(frozen=True)
class FlowMap(Gridded):
    needs = ("flow_map",)
    steps: Positive = 1

    def sample(self, model: Model, x0: Tensor, rng: torch.Generator) -> Tensor:
        jump, x = model.having("flow_map"), x0
        ends = self.ends(model, x0).to(x0)
        for t, r in pairwise(ends):
            x = jump(t, r, x)
        return x
