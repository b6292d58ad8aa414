"""Exponential integrators of any Gaussian path: the linear part of the ODE is exact, the predicted data polynomial.

With z = x / (alpha + sigma) and q = sigma / (alpha + sigma), which falls from noise to data, the ODE is
d(z / q)/dq = -D / q^2 for D = E(x1 | x_t = x). From q = a to q = b, with D constant or linear in q,

    z_b = (b / a) z_a + (1 - b / a) D_a + [a - b - b log(a / b)] D'_a,    D'_a = (D_a - D_before) / (q_before - a).

Order 1, without the last term, is DDIM (Song et al., ICLR 2021) in continuous time; order 2 is the multistep method of
DEIS (Zhang & Chen, ICLR 2023) in q. Each is regular at both ends, alpha = 0 and sigma = 0, and costs an evaluation a
step. On straight lines q = 1 - t, and order 1 is Euler's method. Down to q = 0 the error of order 2 falls by 2^1.75 to
2^2 as steps are halved.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bench.methods.model import Model
from bench.methods.sampler import register_sampler
from bench.samplers.gridded import Gridded
from bench.samplers.grids import Grid, mixed


@register_sampler("exponential")
@dataclass(frozen=True)
class Exponential(Gridded):
    needs = ("path",)
    grid: Grid = "flow"
    order: Literal[1, 2] = 2

    def sample(self, model: Model, x0: Tensor, rng: torch.Generator) -> Tensor:
        data, ends = model.predicted_data(), self.ends(model, x0)
        q, scale = mixed(model.having("path"), ends)
        weights = q[:-1] - q[1:] - torch.xlogy(q[1:], q[:-1] / q[1:])
        x, earlier = x0, None
        for i, t in enumerate(ends[:-1]):
            d, share = data(t.to(x), x), q[i + 1] / q[i]
            z = share * x / scale[i] + (1 - share) * d
            if self.order == 2 and earlier is not None:
                z = z + weights[i] / (q[i - 1] - q[i]) * (d - earlier)
            x, earlier = scale[i + 1] * z, d
        return x
