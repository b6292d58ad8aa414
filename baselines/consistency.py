"""A consistency model trained from scratch (Song et al., ICML 2023), by the schedule of ECT (Geng et al., ICLR 2025).

L = E d(f(x1 + t x0, t), sg f(x1 + r x0, r)) / (t - r),  d(a, b) = sqrt(|a - b|^2 + c^2) - c,  least <= r < t,
ln(t - least) ~ N(mean + ln(sigma_data / 0.5), std^2),  t - r = (t - least) min(1, n(t) / q^a),
n(t) = 1 + k / (1 + exp(b (t - least))), of t in units of 2 sigma_data;  f is in bench/methods/consistency.py.

a grows with training, 0 ... `stages`. At a = 0, r = least: the target is the data themselves, and L trains a denoiser,
which ECT starts from. The teacher f(., r) is the network as it is, without average and without gradient, and with the
student's dropout mask. c = 0 is ECT's norm on CIFAR-10. It makes f a median of the data, not their mean, which matters
in few dimensions: points do better by the square, which d nears as c exceeds the errors (0.3 on the checkerboard).
"""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.linalg import vector_norm
from torch.nn.functional import pad

from bench import (
    Batch,
    ConsistencyBaseline,
    Context,
    LogMean,
    LogStd,
    Network,
    NonNegative,
    Positive,
    like,
    log_normal_levels,
    noise,
    register_baseline,
)

DIGITS = 18  # binary ones of (t - least) / (t - r), of the 24 of float32


@register_baseline("consistency", label="Consistency")
@dataclass(frozen=True)
class ConsistencyModel(ConsistencyBaseline):
    mean: LogMean = -1.1
    std: LogStd = 2.0
    stages: Positive = 8
    q: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 2.0
    k: NonNegative = 8.0
    b: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    c: NonNegative = 0.0

    def check_options(self) -> None:
        super().check_options()
        if self.stages * math.log2(self.q) > DIGITS:
            self.refuse("stages", f"t - r of the last stage would be lost in t; q^stages is at most 2^{DIGITS}")
        if self.k == 0:
            self.unused("b", needs="k above 0")

    def loss(self, net: Network, batch: Batch, ctx: Context) -> Tensor:
        x1, x0 = batch.x, noise(batch.x, ctx.rng)
        above = log_normal_levels(x1, ctx.rng, self.mean, self.std, self.sigma_data)
        a = min(int(ctx.progress * (self.stages + 1)), self.stages)
        n = 1 + self.k * torch.sigmoid(-self.b * above / (2 * self.sigma_data))
        gap = above * (n / self.q**a).clamp(max=1)
        t, r = self.least + above, self.least + above - gap
        target = x1 + like(r, x1) * x0
        if a:  # else r = least, where f is the identity
            target = self.teacher(net, r, target)
        error = (self.clean(net, t, x1 + like(t, x1) * x0) - target).flatten(1)
        return (vector_norm(pad(error, (0, 1), value=self.c), dim=1) - self.c) / gap
