"""Blurred boxes: along each axis a component is m + b (U - 1/2) + s e with U ~ U[0, 1] and e ~ N(0, 1).

At a distance z from its middle it has the density [Phi((b/2 - z) / s) - Phi((-b/2 - z) / s)] / b. A law without blur,
s = 0, has its density elsewhere, and is `blurred` before it is asked.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.datasets.law import Law

OF_NORMAL = math.log(2 * math.pi) / 2


@dataclass(frozen=True, eq=False)
class Boxes(Law):
    """Weights (K,), middles (K, D), standard deviations (K, D) and widths (K, D), all float64; widths above 0."""

    weights: Tensor
    means: Tensor
    stds: Tensor
    widths: Tensor

    def parts(self, x: Tensor) -> tuple[Tensor, Callable[[], Tensor]]:
        means, stds, widths = (table.to(x.device) for table in (self.means, self.stds, self.widths))
        z, half = (x.unsqueeze(1) - means) / stds, widths / stds / 2
        sign, z = z.sign(), z.abs()  # the tail that a difference of Phi loses no digits in
        upper, lower = torch.special.log_ndtr(half - z), torch.special.log_ndtr(-half - z)
        mass = upper + torch.log1p(-(lower - upper).exp())

        def slopes() -> Tensor:
            far, near = ((-(z + edge).square() / 2 - OF_NORMAL - mass).exp() for edge in (half, -half))
            return sign * (far - near) / stds

        return (mass - widths.log()).sum(2), slopes

    def blurred(self, alpha: Tensor, sigma: Tensor) -> "Boxes":
        stds = torch.sqrt((alpha * self.stds).square() + sigma.square())
        return Boxes(self.weights, alpha * self.means, stds, alpha * self.widths)
