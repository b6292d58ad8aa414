"""Heun's method with churn of Karras et al. (NeurIPS 2022, algorithm 2), for any Gaussian path.

With y = x / alpha and the noise s = sigma / alpha the path is theirs, y = x1 + s x0, and its ODE dy/ds = (y - D) / s
for D = E(x1 | y). Levels s_0 > ... > s_N are those of grid "karras" (bench/samplers/grids.py), from 80 at most to the
end of the path; y starts as s_0 x0. A step adds noise, up to s_hat = s (1 + g), and solves the ODE from there:

    g = min(churn / N, 2^(1/2) - 1) if churn_min <= s <= churn_max, else 0
    y_hat = y + (s_hat^2 - s^2)^(1/2) churn_noise z,    z ~ N(0, I)
    d = (y_hat - D(y_hat; s_hat)) / s_hat,    y' = y_hat + (s_next - s_hat) d,    d' = (y' - D(y'; s_next)) / s_next
    y_next = y_hat + (s_next - s_hat) (d + d') / 2, in the last step y', so that N steps cost 2 N - 1 evaluations.

s_hat is the path's own start at most. Without churn it is their deterministic method, of order 2 until the error of
the start shows. On a path with more noise than s_0, s_0 x0 leaves out the mean m of the data, and samples of deviation
r end about |m| r / s_0 off, whatever N is: 8e-4 in tests/samplers/test_orders.py.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.config.settings import NonNegative, Positive, Rate
from bench.errors import UsageError
from bench.methods.model import Model
from bench.methods.paths import time_of_level
from bench.methods.sampler import Sampler, register_sampler
from bench.samplers.grids import S_MAX, level, levels


@register_sampler("edm")
@dataclass(frozen=True)
class EDM(Sampler):
    needs = ("path",)
    evaluations_a_step = 2
    steps: Positive = 18
    rho: Rate = 7.0
    churn: NonNegative = 0.0
    churn_min: NonNegative = 0.0
    churn_max: NonNegative = S_MAX
    churn_noise: Rate = 1.0

    def __post_init__(self) -> None:
        for option in ("churn_min", "churn_max", "churn_noise"):
            if not self.churn and getattr(self, option) != getattr(EDM, option):
                raise UsageError(f"sampler {self.name}: {option} = {getattr(self, option):g}: it needs churn above 0")
        if self.churn_min > self.churn_max:
            allowed = f"a number up to churn_max = {self.churn_max:g} is needed"
            raise UsageError(f"sampler {self.name}: churn_min = {self.churn_min:g}: {allowed}")

    @property
    def order(self) -> int | None:
        return None if self.churn else 2

    @property
    def evaluations(self) -> int:
        return 2 * self.steps - 1

    def sample(self, model: Model, x0: Tensor, rng: torch.Generator) -> Tensor:
        path, data, end = model.having("path"), model.predicted_data(), model.t_end
        first, last = level(path, torch.tensor([0.0, end], dtype=torch.float64)).tolist()
        s = levels(path, end, self.steps, self.rho)
        s[-1] = last
        churned = (s >= self.churn_min) & (s <= self.churn_max)
        hats = (s * (1 + churned * min(self.churn / self.steps, math.sqrt(2) - 1))).clamp(max=first)

        def slope(s: float, t: Tensor, y: Tensor) -> Tensor:
            return (y - data(t.to(x0), path.alpha(t) * y)) / s

        start = torch.zeros((), dtype=torch.float64)
        y = x0 * float(s[0] / path.sigma(start))
        before, after = time_of_level(path, hats, end).to(x0.device), time_of_level(path, s, end).to(x0.device)
        for i, (now, hat, then) in enumerate(zip(s[:-1].tolist(), hats[:-1].tolist(), s[1:].tolist(), strict=True)):
            if hat > now:
                z = torch.randn(y.shape, generator=rng, device=y.device, dtype=y.dtype)
                y = y + self.churn_noise * math.sqrt(hat**2 - now**2) * z
            d = slope(hat, before[i], y)
            if i < self.steps - 1:
                d = (d + slope(then, after[i + 1], y + (then - hat) * d)) / 2
            y = y + (then - hat) * d
        return y * float(path.alpha(start + end))
