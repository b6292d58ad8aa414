"""Euler-Maruyama on a reverse SDE (Song et al., ICLR 2021), for every model whose score follows from its path.

dx = (v + g_t^2 score / 2) dt + g_t dW,  g_t^2 = 2 strength sigma_t,  score = -eps / sigma_t,

has the marginals of dx = v dt whatever the strength, and one evaluation a step gives both v and eps.
"""

from dataclasses import dataclass

import torch

from bench import Sampler, noise, register_sampler


@register_sampler("sde")
@dataclass(frozen=True)
class EulerMaruyama(Sampler):
    needs = ("velocity", "path")
    steps: int = 50
    strength: float = 0.5

    def sample(self, model, x0, rng):
        x, h = x0, model.t_end / self.steps
        for i in range(self.steps):
            t = torch.tensor(i * h, device=x.device, dtype=x.dtype)
            v = model.velocity(t, x)
            drift = v - self.strength * model.path.eps_from_velocity(t, x, v)
            x = x + h * drift + (2 * self.strength * model.path.sigma(t) * h).sqrt() * noise(x, rng)
        return x
