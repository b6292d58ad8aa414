"""Laws of the time t that a loss is taken at, for any path on [0, t_end] with noise at t = 0.

uniform       t ~ U[0, t_end]
logit_normal  log(t / (t_end - t)) ~ N(m, s^2), m = 0 and s = 1       (Esser et al., ICML 2024)
edm           log(sigma_t / alpha_t) ~ N(m, s^2), m = -1.2, s = 1.2   (Karras et al., NeurIPS 2022)

The densities over t are 1 / t_end, N(log(t / (t_end - t)); m, s^2) t_end / (t (t_end - t)) and
N(log(sigma / alpha); m, s^2) |alpha' / alpha - sigma' / sigma|. Noise levels of the last law that the path does not
reach count as those of its ends.

`times` is the option of every TimedFlow, which the Gaussian flows, reflow and the bridges are; a bridge has alpha and
sigma of straight lines. MeanFlow draws two times by a logit-normal law of its own `mean` and `std`. Others have the law
of their papers: lengths of a shortcut model, and noise levels of edm, consistency, vp_sde and ve.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from bench.methods.flow import FlowBaseline
from bench.methods.paths import Path

Times = Literal["uniform", "logit_normal", "edm"]
LogMean = Annotated[float, Field(ge=-10, le=10)]  # m, as an option
LogStd = Annotated[float, Field(gt=0, le=5)]  # s


@dataclass(frozen=True, kw_only=True)
class TimedFlow(FlowBaseline):
    """A flow with a law of t as its option.

    Attributes:
        times: the law.
    """

    times: Times = "uniform"

    @property
    def interpolant(self) -> Path:
        """alpha and sigma of x_t; the path, but for a method whose x0 is not independent of x1 and that has none."""
        assert self.path is not None
        return self.path

    def draw_times(self, x1: Tensor, rng: torch.Generator) -> Tensor:
        """One t in [0, t_end] a sample of x1, by the law of `times`, float32 (B,)."""
        return draw_times(self.times, self.interpolant, x1, rng)


def draw_times(law: Times, path: Path, x1: Tensor, rng: torch.Generator) -> Tensor:
    """One t in [0, t_end] a sample of x1 (B, ...), float32 (B,)."""
    if law == "uniform":
        return path.times(x1, rng)
    if law == "logit_normal":
        return logit_normal(x1, rng) * path.t_end
    return path.at_level(random_levels(x1, rng)).clamp(0.0, path.t_end)


def logit_normal(x1: Tensor, rng: torch.Generator, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """1 / (1 + exp(-z)) with z ~ N(mean, std^2), one a sample, (B,)."""
    return torch.sigmoid(mean + std * _normal(x1, rng))


def random_levels(x1: Tensor, rng: torch.Generator, mean: float = -1.2, std: float = 1.2) -> Tensor:
    """Noise levels exp(z) with z ~ N(mean, std^2), one a sample, (B,)."""
    return torch.exp(mean + std * _normal(x1, rng))


def _normal(x1: Tensor, rng: torch.Generator) -> Tensor:
    return torch.randn(len(x1), generator=rng, device=x1.device)
