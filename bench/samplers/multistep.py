"""diffusers' multistep schedulers in continuous time, for any Gaussian path and time grid.

Their update is homogeneous in (x, alpha, sigma), so x / (alpha + sigma) is on their path for flows, alpha = 1 - q and
sigma = q, whatever the model's own path is: here q = sigma / (alpha + sigma) at exactly the times of the grid, in the
place of levels that are interpolated among 1000 discrete ones. The model gives E(x1 | x_t = x).

Their orders are those of equal steps of log(alpha / sigma). Equal ones of t, the default, are infinite in it where a
path starts without data or ends without noise: there the error falls by 2^1.15 to 2^2.3 as 96 steps become 192.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.methods.model import Model
from bench.samplers.gridded import Gridded
from bench.samplers.grids import S_MIN, mixed

START = 1 - 1e-6  # of q: log alpha is infinite at 1, from where diffusers starts at this too


@dataclass(frozen=True)
class Multistep(Gridded):
    needs = ("path",)

    def scheduler(self, **options: Any) -> Any:
        """The scheduler of diffusers with these options and the sampler's own."""
        raise NotImplementedError

    def sample(self, model: Model, x0: Tensor, rng: torch.Generator) -> Tensor:
        data, ends = model.predicted_data(), self.ends(model, x0)
        q, scale = mixed(model.having("path"), ends)
        # They end by a step of order 1 if that leads to no noise, where log(alpha / sigma) has no bound.
        last = "zero" if q[-1] < S_MIN else "sigma_min"
        scheduler = self.scheduler(prediction_type="sample", use_flow_sigmas=True, final_sigmas_type=last)
        scheduler.set_timesteps(self.steps)
        scheduler.sigmas = q.clamp(max=START).cpu()
        scheduler.set_begin_index(0)
        x = x0
        for i, t in enumerate(ends[:-1]):
            z = scheduler.step(data(t.to(x), x), t, x / scale[i]).prev_sample
            x = scale[i + 1] * z
        return x
