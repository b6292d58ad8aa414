"""SB-CFM: Flow Matching along the Schroedinger bridge between noise and data (Tong et al., TMLR 2024).

L = E |v_t(x_t) - u|^2,  u = (1 - 2 t) / (2 t (1 - t)) (x_t - (1 - t) x0 - t x1) + x1 - x0,

x_t ~ N((1 - t) x0 + t x1, sigma^2 t (1 - t)) the Brownian bridge of (x0, x1), drawn from the entropic plan of
regularisation 2 sigma^2 between two minibatches. E |u|^2 is infinite at both ends, its mean given x_t is not.
"""

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from bench import Batch, BridgeFlow, Context, Network, mean_square, register_baseline


@register_baseline("sb_cfm", label="SB-CFM")
@dataclass(frozen=True)
class SBCFM(BridgeFlow):
    coupling: Literal["sinkhorn"] = field(default="sinkhorn", kw_only=True)

    def loss(self, net: Network, batch: Batch, ctx: Context) -> Tensor:
        t, x0, x1, e = self.bridges(net, batch, ctx)
        return mean_square(net(t, self.bridge.sample(t, x0, x1, e)) - self.bridge.target(t, x0, x1, e))
