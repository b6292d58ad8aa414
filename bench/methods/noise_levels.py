"""The path of Karras et al. (NeurIPS 2022) in the frame of this project, from N(0, I) at t = 0 to data at t = 1.

They add noise of level s to the data, y = x1 + s x0. Scaled by alpha, x = alpha y starts from x0:

    alpha = 1 / sqrt(1 + s^2),    sigma = s / sqrt(1 + s^2),    s = sigma / alpha
    s(t) = (s_max^(1/rho) + t (s_min^(1/rho) - s_max^(1/rho)))^rho,    s_max (s_min / s_max)^t for rho = inf

Nothing is singular, and t_end = 1. The path ends with noise of level s_min still in the data. It starts from the law of
x = alpha x1 + sigma x0 at s_max, and samples start from x0: of data with mean m and variance v, the mean differs by
m / sqrt(1 + s_max^2) and the variance by (v - 1) / (1 + s_max^2), 1.6e-4 (v - 1) at s_max = 80.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.errors import UsageError
from bench.methods.paths import Path


@dataclass(frozen=True)
class NoiseLevels(Path):
    """The path whose noise s falls from `level_max` to `level_min`, both above 0, by the law of `rho`."""

    level_max: float = 80.0
    level_min: float = 0.002
    rho: float = 7.0

    def __post_init__(self) -> None:
        if not 0 < self.level_min < self.level_max < math.inf:
            allowed = f"a number above 0 and below level_max = {self.level_max:g}"
            raise UsageError(f"level_min = {self.level_min:g}: allowed: {allowed}")

    @property
    def _ends(self) -> tuple[float, float]:
        """Where the law is linear in t: s^(1/rho), or log s, at t = 0 and at t = 1."""
        if self.rho == math.inf:
            return math.log(self.level_max), math.log(self.level_min)
        return self.level_max ** (1 / self.rho), self.level_min ** (1 / self.rho)

    def level(self, t: Tensor) -> Tensor:
        """s(t)."""
        first, last = self._ends
        u = first + (last - first) * t
        return u.exp() if self.rho == math.inf else u**self.rho

    def at_level(self, s: Tensor) -> Tensor:
        first, last = self._ends
        u = s.log() if self.rho == math.inf else s ** (1 / self.rho)
        return ((u - first) / (last - first)).clamp(0.0, 1.0)

    def dlevel(self, t: Tensor) -> Tensor:
        """s'(t) = rho s^(1 - 1/rho) times the slope of s^(1/rho), s times that of log s."""
        first, last = self._ends
        s = self.level(t)
        return (last - first) * (s if self.rho == math.inf else self.rho * s ** (1 - 1 / self.rho))

    def alpha(self, t: Tensor) -> Tensor:
        return torch.rsqrt(1 + self.level(t) ** 2)

    def sigma(self, t: Tensor) -> Tensor:
        return self.level(t) * self.alpha(t)

    def dalpha(self, t: Tensor) -> Tensor:
        return -self.level(t) * self.dsigma(t)

    def dsigma(self, t: Tensor) -> Tensor:
        return self.dlevel(t) * self.alpha(t) ** 3
