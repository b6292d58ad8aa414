"""Ancestral sampling of Ho et al. (NeurIPS 2020), with all or fewer of its 1000 steps."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.methods.model import Model
from bench.methods.sampler import Sampler, register_sampler
from bench.samplers.scheduled import Steps, betas, run


@register_sampler("ancestral")
@dataclass(frozen=True)
class Ancestral(Sampler):
    needs = ("path",)
    steps: Steps = 1000

    def sample(self, model: Model, x0: Tensor, rng: torch.Generator) -> Tensor:
        from diffusers import DDPMScheduler

        return run(DDPMScheduler(**betas(model)), self.steps, model, x0, rng)
