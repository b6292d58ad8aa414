"""SB-CFM: Flow Matching along the Schroedinger bridge between noise and data (Tong et al., TMLR 2024).

L = E |v_t(x_t) - u|^2,  u = (1 - 2 t) / (2 t (1 - t)) (x_t - (1 - t) x0 - t x1) + x1 - x0,

x_t ~ N((1 - t) x0 + t x1, sigma^2 t (1 - t)) the Brownian bridge of (x0, x1), drawn from the entropic plan of
regularisation 2 sigma^2 between two minibatches. E |u|^2 is infinite at both ends, its mean given x_t is not.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from bench import (
    Batch,
    BrownianBridge,
    Context,
    CoupledFlow,
    Network,
    mean_square,
    noise,
    register_baseline,
    standard_normal,
)


@register_baseline("sb_cfm", label="SB-CFM")
@dataclass(frozen=True)
class SBCFM(CoupledFlow):
    sigma: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    coupling: Literal["sinkhorn"] = field(default="sinkhorn", kw_only=True)

    @property
    def regularisation(self) -> float:
        return 2 * self.sigma**2

    def loss(self, net: Network, batch: Batch, ctx: Context) -> Tensor:
        bridge, rng = BrownianBridge(self.sigma), ctx.rng
        t, x0 = torch.rand(len(batch), generator=rng, device=batch.x.device), noise(batch.x, rng)
        x0, x1 = self.pairs(net, batch, x0, rng)
        e = standard_normal(x0, rng)
        return mean_square(net(t, bridge.sample(t, x0, x1, e)) - bridge.target(t, x0, x1, e))
