"""Flow Matching with the optimal-transport path (Lipman et al., ICLR 2023).

L = E |v_t(x_t) - (x1 - (1 - sigma_min) x0)|^2,  x_t = t x1 + (1 - (1 - sigma_min) t) x0, if the network predicts v.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from bench import GaussianFlow, Network, OptimalTransport, mean_square, noise, register_baseline


@register_baseline("fm_ot", label="FM w/ OT")
@dataclass(frozen=True)
class FlowMatchingOT(GaussianFlow):
    sigma_min: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def path(self) -> OptimalTransport:
        return OptimalTransport(self.sigma_min)

    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        t, x0 = self.draw_times(x1, rng), noise(x1, rng)
        return mean_square(self.error(net(t, self.path.sample(t, x0, x1)), t, x0, x1))
