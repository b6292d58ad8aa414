"""MeanFlow: the average velocity by the identity that it fulfils (Geng et al., NeurIPS 2025).

L = w |u(t, x_t, r) - sg(v + (r - t) du/dt)|^2,  w = sg(1 / (|.|^2 + c)^p),  x_t = t x1 + (1 - t) x0,  v = x1 - x0,

where du/dt = v du/dx + du/dt at fixed r is one forward derivative, sg stops the gradient and |.|^2 is the sum over the
dimensions. A share `distinct` of the samples has t < r, and the others are Flow Matching, r = t.

The authors' time is 1 - t. Their logit-normal law of it has mean -0.4 and deviation 1 on ImageNet, with p = 1 and
distinct = 0.25; on CIFAR-10 these are -2, 2, 0.75 and 0.75. Each of t and r is drawn so, and -1.2 and 1.2 are EDM's law
(bench/methods/times.py).
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from bench import (
    Batch,
    Context,
    FlowMapBaseline,
    LogMean,
    LogStd,
    Network,
    NonNegative,
    along,
    like,
    noise,
    register_baseline,
)


@register_baseline("meanflow", label="MeanFlow")
@dataclass(frozen=True)
class MeanFlow(FlowMapBaseline):
    distinct: Annotated[float, Field(ge=0, le=1)] = 0.25
    times: Literal["logit_normal", "uniform"] = "logit_normal"
    mean: LogMean = -0.4
    std: LogStd = 1.0
    p: NonNegative = 1.0
    c: NonNegative = 1e-3

    def check_options(self) -> None:
        super().check_options()
        if self.times == "uniform":
            self.unused("mean", "std", needs='times = "logit_normal"')
        if self.p == 0:
            self.unused("c", needs="p above 0")

    def loss(self, net: Network, batch: Batch, ctx: Context) -> Tensor:
        t, r = self.two_times(batch.x, ctx.rng)
        return self.misfit(net, t, r, noise(batch.x, ctx.rng), batch.x)

    def two_times(self, x: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """t <= r, (B,) each."""
        *drawn, coin = torch.rand(3, len(x), generator=rng, device=x.device)
        if self.times == "logit_normal":
            drawn = [torch.sigmoid(-self.mean - self.std * torch.special.ndtri(u)) for u in drawn]
        t, r = torch.minimum(*drawn), torch.maximum(*drawn)
        return t, torch.where(coin < self.distinct, r, t)

    def misfit(self, net: Network, t: Tensor, r: Tensor, x0: Tensor, x1: Tensor) -> Tensor:
        """The weighted loss of each sample, (B,)."""
        x, v = self.path.sample(t, x0, x1), x1 - x0
        u, slope = along(lambda t, x: net(t, x, r=r), (t, x), (torch.ones_like(t), v))
        error = (u - (v + like(r - t, x) * slope).detach()).square().flatten(1).sum(1)
        return error / (error.detach() + self.c) ** self.p
