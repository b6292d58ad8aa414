"""Methods whose network defines a velocity field, and with it an ODE from noise at t = 0 to data at t_end.

@register_baseline("fm_ot", label="FM w/ OT")
@dataclass(frozen=True)
class FlowMatchingOT(FlowBaseline):
    sigma_min: float = 0.0
    def loss(self, net, x1, rng): ...
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from bench.config.settings import Rate
from bench.datasets.source import drawn
from bench.methods.labelled import LabelledBaseline
from bench.methods.model import Model
from bench.methods.network import Network
from bench.methods.ode import VelocityField
from bench.methods.paths import Path, VariancePreserving, like


@dataclass(frozen=True)
class FlowBaseline(LabelledBaseline):
    """A method whose network `net(t, x)` is a velocity field, or defines one; t has shape (B,) for a network.

    One whose network gives something else says `velocity`, too: a class with `eps` or `data` of its own, but with the
    velocity of this one, is refused when it is registered.
    """

    @classmethod
    def fault(cls) -> str:
        above = cls.__mro__[: cls.__mro__.index(FlowBaseline)]
        own = [side for side in ("eps", "data") if any(callable(vars(c).get(side)) for c in above)]
        if not own or cls.velocity != FlowBaseline.velocity:
            return ""
        return f"has its own {' and '.join(own)} but no velocity, which would be what the network gives; say it, too"

    @property
    def path(self) -> Path | None:
        """The Gaussian probability path p_t(x | x1) that the method is trained along, where it has one."""
        return None

    @property
    def t_end(self) -> float:
        """Where the ODE ends: 1, or just before it where the path is singular there."""
        return self.path.t_end if self.path else 1.0

    def velocity(self, net: Network) -> VelocityField:
        """f(t, x) -> dx/dt of the shape of x, for a scalar t in [0, t_end] and x (B, ...).

        It is the network itself, unless a method says otherwise, as one with its own eps or data has to.
        """
        return field_of(net)

    def eps(self, net: Network) -> VelocityField | None:
        """(t, x) -> the predicted noise, where the network gives that."""
        return None

    def data(self, net: Network) -> VelocityField | None:
        """(t, x) -> the predicted data, where the network gives that."""
        return None

    def samplers(self, net: Network) -> Mapping[str, Any]:
        """Ways of drawing of the method's own, measured in rows of their own beside the ODE's."""
        return {}

    def model(self, net: Network) -> Model:
        """The velocity, and what follows from it."""
        velocity, path = self.velocity(net), self.path
        found = self.guidable(Model(velocity, self.t_end, path, samplers=self.samplers(net)), net)
        if path is None:
            return found
        eps = self.eps(net) or (lambda t, x: path.eps_from_velocity(t, x, velocity(t, x)))
        score: VelocityField = lambda t, x: -eps(t, x) / like(path.sigma(t), x)  # noqa: E731
        return replace(found, eps=eps, score=score, data=self.data(net))


@dataclass(frozen=True)
class DiffusionBaseline(FlowBaseline):
    """A method on the variance-preserving diffusion path (bench/methods/paths.py)."""

    needs_gaussian = True

    beta_min: Rate = 0.1
    beta_max: Rate = 20.0

    @property
    def path(self) -> VariancePreserving:
        return VariancePreserving(self.beta_min, self.beta_max)


def field_of(net: Network) -> VelocityField:
    """(t, x) -> what the network gives for x (B, ...) at a scalar t."""
    return lambda t, x: net(t.expand(len(x)), x)


def noise(x1: Tensor, rng: torch.Generator) -> Tensor:
    """x0 of the shape of x1, from the source that the generator carries, or from N(0, I)."""
    if (source := getattr(rng, "source", None)) is not None:
        return drawn(source, len(x1), rng).to(x1)
    return standard_normal(x1, rng)


def standard_normal(x: Tensor, rng: torch.Generator) -> Tensor:
    """N(0, I) of the shape of x, whatever the source."""
    return torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)


def mean_square(error: Tensor) -> Tensor:
    """Mean over the dimensions of each sample, (B, ...) -> (B,)."""
    return error.square().flatten(1).mean(1)
