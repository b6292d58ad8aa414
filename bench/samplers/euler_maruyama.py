"""Euler and Maruyama's method on the reverse SDE of any Gaussian path (Song et al., ICLR 2021), with a noise scale c.

    dx = (v + c^2 g^2 / 2 score) dt + c g dW,    g^2 = 2 sigma^2 d/dt log(alpha / sigma) = 2 sigma (sigma r - sigma'),

where r = alpha' / alpha. The path's own diffusion g is beta^(1/2) for VP and (2 (1 - t) / t)^(1/2) for straight lines.
Every c has the marginals of the ODE; c = 0 is Euler's method on it, and c = 1 Song et al.'s SDE. On a path
(g^2 / 2) score = v - r x, so that one evaluation gives

    x + h [(1 + c^2) v - c^2 r x] + c g h^(1/2) z,    z ~ N(0, I).

Where alpha = 0, as at t = 0 of straight lines, g is infinite, and c is 0 in the step from there.
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


@register_sampler("euler_maruyama")
@dataclass(frozen=True)
class EulerMaruyama(Gridded):
    needs = ("path",)
    steps: Positive = 100
    scale: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0

    def sample(self, model: Model, x0: Tensor, rng: torch.Generator) -> Tensor:
        path, velocity, x = model.having("path"), model.predicted_velocity(), x0
        ends = self.ends(model, x0)
        for t, h in zip(ends[:-1], ends.diff(), strict=True):
            v = velocity(t.to(x), x)
            if not self.scale or path.alpha(t) == 0:
                x = x + h * v
                continue
            rate, sigma, c2 = path.dalpha(t) / path.alpha(t), path.sigma(t), self.scale**2
            spread = torch.sqrt(2 * c2 * h * sigma * (sigma * rate - path.dsigma(t)))
            z = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
            x = x + h * ((1 + c2) * v - c2 * rate * x) + spread * z
        return x
