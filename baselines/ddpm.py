"""DDPM's noise prediction on the continuous VP path (Ho et al., NeurIPS 2020; Song et al., ICLR 2021).

L = E |eps_t(x_t) - x0|^2,  x_t = alpha_t x1 + sigma_t x0;  the ODE follows from score = -eps / sigma.

Its native samplers are diffusers' schedulers over the 1000 discrete steps of the same beta: ancestral (all or fewer
steps) and DDIM (Song et al., ICLR 2021). Step k of them is the time s = (k + 1) / 1000.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.baseline import DiffusionBaseline, Network, Sampler, mean_square, noise, register_baseline
from bench.ode import VelocityField


@register_baseline("ddpm", label="DDPM")
@dataclass(frozen=True)
class DDPM(DiffusionBaseline):
    ancestral_steps: int = 1000
    ddim_steps: int = 50

    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        t, x0 = self.path.times(x1, rng), noise(x1, rng)
        return mean_square(net(t, self.path.sample(t, x0, x1)) - x0)

    def velocity(self, net: Network) -> VelocityField:
        return lambda t, x: self.path.velocity_from_eps(t, x, net(t.expand(len(x)), x))

    def samplers(self, net: Network) -> dict[str, Sampler]:
        from diffusers import DDIMScheduler, DDPMScheduler

        def along(scheduler: Any, steps: int) -> Sampler:
            def sample(x: Tensor, rng: torch.Generator) -> Tensor:
                scheduler.set_timesteps(steps)
                for k in scheduler.timesteps:
                    t = 1 - (k.to(x) + 1) / 1000
                    x = scheduler.step(net(t.expand(len(x)), x), k, x, generator=rng).prev_sample
                return x

            return Sampler(steps, sample)

        betas = {"beta_start": self.beta_min / 1000, "beta_end": self.beta_max / 1000, "clip_sample": False}
        ddim = DDIMScheduler(timestep_spacing="trailing", **betas)
        return {
            f"ancestral-{self.ancestral_steps}": along(DDPMScheduler(**betas), self.ancestral_steps),
            f"ddim-{self.ddim_steps}": along(ddim, self.ddim_steps),
        }
