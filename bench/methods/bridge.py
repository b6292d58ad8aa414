"""The Brownian bridge between a pair (x0, x1), of diffusion sigma (Tong et al., AISTATS 2024).

    x_t = (1 - t) x0 + t x1 + sigma (t (1 - t))^(1/2) e,    e ~ N(0, I),

has the marginals of the ODE dx = u dt, of the score s, and of the SDE dx = (u + sigma^2 / 2 s) dt + sigma dW, with

    u = (1 - 2 t) / (2 t (1 - t)) (x_t - mu_t) + x1 - x0,    s = -e / (sigma (t (1 - t))^(1/2)),    mu_t the mean.

If (x0, x1) are of the entropic plan of regularisation 2 sigma^2, the SDE of E(u | x_t) and E(s | x_t) is the
Schroedinger bridge between the two laws.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.config.settings import Deviation
from bench.methods.batch import Batch, Context
from bench.methods.couplings import CoupledFlow
from bench.methods.flow import standard_normal
from bench.methods.paths import OptimalTransport, like

TINY = 1e-8  # keeps u finite at both ends, as in Tong et al.'s code


@dataclass(frozen=True)
class BrownianBridge:
    """t has shape (B,), with x0, x1 and e (B, ...)."""

    sigma: float = 1.0

    def deviation(self, t: Tensor) -> Tensor:
        return self.sigma * torch.sqrt(t * (1 - t))

    def sample(self, t: Tensor, x0: Tensor, x1: Tensor, e: Tensor) -> Tensor:
        """x_t."""
        return x0 + like(t, x0) * (x1 - x0) + like(self.deviation(t), x0) * e

    def target(self, t: Tensor, x0: Tensor, x1: Tensor, e: Tensor) -> Tensor:
        """u along x_t."""
        rate = (1 - 2 * t) / (2 * t * (1 - t) + TINY)
        return like(rate * self.deviation(t), x0) * e + x1 - x0

    def weight(self, t: Tensor) -> Tensor:
        """lambda_t = 2 (t (1 - t))^(1/2) / sigma, at which sigma^2 / 2 s is -e / lambda."""
        return 2 * self.deviation(t) / self.sigma**2


@dataclass(frozen=True)
class BridgeFlow(CoupledFlow):
    """A flow of bridges between pairs, whose entropic plan is that of the Schroedinger bridge.

    Attributes:
        sigma: diffusion of the bridges.
    """

    sigma: Deviation = 1.0
    interpolant = OptimalTransport()

    def entropy(self, squares: Tensor) -> float:
        return 2 * self.sigma**2

    @property
    def bridge(self) -> BrownianBridge:
        return BrownianBridge(self.sigma)

    def bridges(self, net: Any, batch: Batch, ctx: Context) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """t (B,), the pairs x0 and x1 and the bridge's noise e (B, ...)."""
        t, x0, x1 = self.drawn(net, batch, ctx)
        return t, x0, x1, standard_normal(x0, ctx.rng)
