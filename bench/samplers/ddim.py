"""DDIM of Song et al. (ICLR 2021), deterministic, with all or fewer of its 1000 steps."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.methods.model import Model
from bench.methods.sampler import Sampler, register_sampler
from bench.samplers.scheduled import Steps, betas, run


@register_sampler("ddim")
@dataclass(frozen=True)
class DDIM(Sampler):
    needs = ("path",)
    steps: Steps = 50

    def sample(self, model: Model, x0: Tensor, rng: torch.Generator) -> Tensor:
        from diffusers import DDIMScheduler

        return run(DDIMScheduler(timestep_spacing="trailing", **betas(model)), self.steps, model, x0, rng)
