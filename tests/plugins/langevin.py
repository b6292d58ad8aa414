"""Euler's method with a corrector (Song et al., ICLR 2021): after each step one of Langevin dynamics at the new time,

x <- x + e score + (2 e)^(1/2) z,  e = strength sigma_t^2,  score = -eps / sigma_t,

which draws x towards the marginal there. A step costs two evaluations.
"""

from dataclasses import dataclass

import torch

from bench import Sampler, noise, register_sampler


@register_sampler("langevin")
@dataclass(frozen=True)
class Langevin(Sampler):
    needs = ("velocity", "path")
    evaluations_a_step = 2
    steps: int = 50
    strength: float = 0.1

    def sample(self, model, x0, rng):
        x, h, eps = x0, model.t_end / self.steps, model.predicted_noise()
        for i in range(self.steps):
            start, end = (torch.tensor(j * h, device=x.device, dtype=x.dtype) for j in (i, i + 1))
            x = x + h * model.velocity(start, x)
            sigma = model.path.sigma(end)
            x = x - self.strength * sigma * eps(end, x) + (2 * self.strength) ** 0.5 * sigma * noise(x, rng)
        return x
