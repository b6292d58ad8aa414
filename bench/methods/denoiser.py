"""Methods whose network, scaled by the noise level s, predicts the data behind y = x1 + s x0 (Karras et al. 2022).

    D(y; s) = c_skip y + c_out F(c_in y; c_noise),    L = E lambda(s) |D(x1 + s x0; s) - x1|^2

Their table 1 gives c_skip, c_out, c_in, c_noise, lambda and the law of s of each method. On a path x = alpha x1 +
sigma x0 with s = sigma / alpha, y = x / alpha is theirs; D = E(x1 | x), and with it eps = (x - alpha D) / sigma and the
velocity alpha' D + sigma' eps.

F is told c_noise in place of the time. Networks of images multiply what they are told by their `time_scale`. Karras et
al. scale it by 1 with the sinusoids of their U-Net in EDM, and by M - 1 = 999 in VP; their network for VE has random
Fourier features, which none here has.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, NamedTuple, Self

import torch
from pydantic import Field
from torch import Tensor

from bench.config.settings import LARGE, SMALL, Positive
from bench.errors import NotApplicable, UsageError
from bench.methods.baseline import About
from bench.methods.flow import FlowBaseline
from bench.methods.labelled import LabelledBaseline
from bench.methods.network import Network
from bench.methods.ode import VelocityField
from bench.methods.paths import Path, like
from bench.methods.times import random_levels

KARRAS_DATA = 0.5  # sigma_data of Karras et al., whose laws of s are for data of that deviation


class Scaling(NamedTuple):
    """c_skip, c_out, c_in and c_noise of a batch, (B,) each."""

    skip: Tensor
    out: Tensor
    into: Tensor
    told: Tensor


def edm_scaling(s: Tensor, sigma_data: float, least: float = 0.0) -> Scaling:
    """EDM's scaling for levels s (B,) above 0, made to be D(y; least) = y (Song et al., ICML 2023, appendix C).

    With d = sigma_data, c_skip = d^2 / ((s - least)^2 + d^2), c_out = d (s - least) / sqrt(s^2 + d^2),
    c_in = 1 / sqrt(s^2 + d^2), c_noise = ln(s) / 4. Data, target and input of F then have variance 1 if the data have
    variance d^2 and mean 0.
    """
    if sigma_data == 0:
        raise UsageError("sigma_data = 0: it is that of the data only in what `for_data` gives")
    into = torch.rsqrt(s**2 + sigma_data**2)
    skip = sigma_data**2 / ((s - least) ** 2 + sigma_data**2)
    return Scaling(skip, sigma_data * (s - least) * into, into, s.log() / 4)


def scaled(net: Network, scaling: Scaling, y: Tensor) -> Tensor:
    """c_skip y + c_out F(c_in y; c_noise) for y (B, ...)."""
    skip, out, into, told = scaling
    return like(skip, y) * y + like(out, y) * net(told, like(into, y) * y)


def log_normal_levels(x1: Tensor, rng: torch.Generator, mean: float, std: float, sigma_data: float) -> Tensor:
    """Levels (B,) with ln(s) ~ N(mean + ln(sigma_data / 0.5), std^2): the law goes with the scale of the data."""
    return sigma_data / KARRAS_DATA * random_levels(x1, rng, mean, std)


@dataclass(frozen=True)
class ScaledToData(LabelledBaseline):
    """A method that is told the deviation of the data.

    Attributes:
        sigma_data: that in model space, of all dimensions together; 0: measured on the training split.
    """

    sigma_data: Annotated[float, Field(ge=0, le=LARGE)] = field(default=0.0, kw_only=True)

    def check_options(self) -> None:
        super().check_options()
        if 0 < self.sigma_data < SMALL:
            self.refuse("sigma_data", f"0, which measures it, or a number from {SMALL:g} is needed")

    def for_data(self, data: About) -> Self:
        """NotApplicable if it is to be measured, and the data hardly vary."""
        found = self.sigma_data or data.deviation()
        if not SMALL <= found <= LARGE:
            raise NotApplicable(f"the data have the deviation {found:g}, not one from {SMALL:g} to {LARGE:g}")
        return replace(self, sigma_data=found)


@dataclass(frozen=True)
class DenoiserBaseline(FlowBaseline):
    """A method that predicts the data by a scaled network; a file says its path, its scaling and its loss."""

    needs_gaussian = True

    edm_steps: Positive = field(default=18, kw_only=True)

    @property
    @abstractmethod
    def path(self) -> Path:
        """The path, whose noise levels are sigma / alpha."""

    @abstractmethod
    def scaling(self, s: Tensor) -> Scaling:
        """The scaling at levels s (B,)."""

    def denoised(self, net: Network, s: Tensor, y: Tensor) -> Tensor:
        """D(y; s) for y (B, ...) and levels s (B,)."""
        return scaled(net, self.scaling(s), y)

    def data(self, net: Network) -> VelocityField:
        """(t, x) -> E(x1 | x_t = x), for a scalar t."""

        def predicted(t: Tensor, x: Tensor) -> Tensor:
            alpha, sigma = self.path.alpha(t), self.path.sigma(t)
            return self.denoised(net, (sigma / alpha).expand(len(x)), x / alpha)

        return predicted

    def eps(self, net: Network) -> VelocityField:
        data, path = self.data(net), self.path
        return lambda t, x: (x - path.alpha(t) * data(t, x)) / path.sigma(t)

    def velocity(self, net: Network) -> VelocityField:
        data, path = self.data(net), self.path
        return lambda t, x: path.velocity_from_data(t, x, data(t, x))

    def samplers(self, net: Network) -> Mapping[str, Any]:
        from bench.samplers.edm import EDM

        return {f"edm-{self.edm_steps}": EDM(self.edm_steps)}
