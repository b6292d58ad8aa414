"""Euler and Maruyama's method on an SDE of constant diffusion g, for any model with a velocity and a score.

    dx = (v + g^2 / 2 score) dt + g dW        (Albergo et al., Stochastic interpolants, 2023; Tong et al., AISTATS 2024)

has the marginals of the ODE dx = v dt whatever g is, and needs no path. A step evaluates both, two evaluations unless
one network call gives both to the model.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from bench.config.settings import Positive
from bench.methods.model import Model
from bench.methods.sampler import register_sampler
from bench.samplers.gridded import Gridded


@register_sampler("sde")
@dataclass(frozen=True)
class SDE(Gridded):
    needs = ("velocity", "score")
    evaluations_a_step = 2
    steps: Positive = 100
    diffusion: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0

    def sample(self, model: Model, x0: Tensor, rng: torch.Generator) -> Tensor:
        velocity, score, x = model.having("velocity"), model.having("score"), x0
        ends = self.ends(model, x0).to(x0)
        for t, h in zip(ends[:-1], ends.diff(), strict=True):
            z = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
            drift = velocity(t, x) + self.diffusion**2 / 2 * score(t, x)
            x = x + h * drift + self.diffusion * h.sqrt() * z
        return x
