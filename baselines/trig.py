"""Flow Matching along the trigonometric interpolant (Albergo & Vanden-Eijnden, ICLR 2023).

L = E |v_t(x_t) - (pi / 2) (cos(pi t / 2) x1 - sin(pi t / 2) x0)|^2,  x_t = cos(pi t / 2) x0 + sin(pi t / 2) x1, if the
network predicts v. Data of variance 1 keeps it along the whole path.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench import GaussianFlow, Network, Trigonometric, mean_square, noise, register_baseline


@register_baseline("trig", label="FM w/ Trig")
@dataclass(frozen=True)
class FlowMatchingTrig(GaussianFlow):
    path = Trigonometric()

    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        t, x0 = self.draw_times(x1, rng), noise(x1, rng)
        return mean_square(self.error(net(t, self.path.sample(t, x0, x1)), t, x0, x1))
