"""diffusers' schedulers over 1000 discrete steps of the VP path's beta, behind samplers of noise predictors.

Step k is the time s = (k + 1) / 1000 of the diffusion, t = 1 - s.
"""

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from bench.errors import NotApplicable
from bench.methods.model import Model
from bench.methods.paths import VariancePreserving

STEPS = 1000
Steps = Annotated[int, Field(gt=0, le=STEPS)]


def betas(model: Model) -> dict[str, Any]:
    """The schedule of a model on the VP path, as diffusers takes it; NotApplicable if it is on another."""
    path = model.having("path")
    if not isinstance(path, VariancePreserving):
        raise NotApplicable(f"its path is {type(path).__name__}, and the schedule is that of VariancePreserving")
    return {"beta_start": path.beta_min / STEPS, "beta_end": path.beta_max / STEPS, "clip_sample": False}


def run(scheduler: Any, steps: int, model: Model, x: Tensor, rng: torch.Generator) -> Tensor:
    """From the noise x (B, ...) to samples, by `steps` evaluations of the predicted noise."""
    eps = model.predicted_noise()
    scheduler.set_timesteps(steps)
    for k in scheduler.timesteps:
        t = 1 - (k.to(x) + 1) / STEPS
        x = scheduler.step(eps(t, x), k, x, generator=rng).prev_sample
    return x
