"""Points scaled column by column, a space of theirs: z = (x - shift) / scale, and x = shift + scale z again.

    standard    shift and scale are the mean and the standard deviation of train
    minmax      train fills [-1, 1]: the middle and half the width of its range

Samples are measured in the units of x, and log p(x) = log p(z) - sum_i ln scale_i.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

Rule = Literal["standard", "minmax", "none"]


@dataclass(frozen=True)
class Scaling:
    """A space (bench/datasets/space.py) with a shift and a scale for each of D columns."""

    keeps_density: ClassVar[bool] = True

    shift: tuple[float, ...]
    scale: tuple[float, ...]

    @property
    def log_volume(self) -> float:
        return -sum(map(math.log, self.scale))

    def encode(self, stored: Tensor, rng: torch.Generator | None = None) -> Tensor:
        shift, scale = self._on(stored)
        return ((stored.double() - shift) / scale).float()

    def decode(self, x: Tensor) -> Tensor:
        shift, scale = self._on(x)
        return (shift + scale * x.double()).float()

    def _on(self, x: Tensor) -> Sequence[Tensor]:
        return torch.tensor([self.shift, self.scale], dtype=torch.float64, device=x.device).unbind()


def scaled_by(rule: Rule, train: Tensor) -> Scaling | None:
    """The scaling of train (N, D) by a rule; None for "none"."""
    values = train.double()
    if rule == "none":
        return None
    if rule == "standard":
        shift, scale = values.mean(0), values.std(0, correction=0)
    else:
        low, high = values.min(0).values, values.max(0).values
        shift, scale = (low + high) / 2, (high - low) / 2
    return Scaling(tuple(shift.tolist()), tuple(scale.tolist()))
