"""Native samplers of noise predictors: diffusers' schedulers over 1000 discrete steps of the VP path's beta.

Step k is the time s = (k + 1) / 1000 of the diffusion, t = 1 - s. Ancestral sampling is that of Ho et al. (NeurIPS
2020), DDIM that of Song et al. (ICLR 2021), both with all or fewer of the steps.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from bench.methods.baseline import Sampler
from bench.methods.paths import VariancePreserving

STEPS = 1000


def scheduled(
    kind: Literal["ancestral", "ddim"],
    steps: int,
    path: VariancePreserving,
    eps: Callable[[Tensor, Tensor], Tensor],
) -> Sampler:
    """The sampler that makes `steps` evaluations of eps(t, x), the predicted noise for a scalar t and x (B, ...)."""
    from diffusers import DDIMScheduler, DDPMScheduler

    betas = {"beta_start": path.beta_min / STEPS, "beta_end": path.beta_max / STEPS, "clip_sample": False}
    scheduler: Any = (
        DDPMScheduler(**betas) if kind == "ancestral" else DDIMScheduler(timestep_spacing="trailing", **betas)
    )

    def sample(x: Tensor, rng: torch.Generator) -> Tensor:
        scheduler.set_timesteps(steps)
        for k in scheduler.timesteps:
            t = 1 - (k.to(x) + 1) / STEPS
            x = scheduler.step(eps(t, x), k, x, generator=rng).prev_sample
        return x

    return Sampler(sample)
