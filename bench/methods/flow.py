"""Methods whose network defines a velocity field, and with it an ODE from noise at t = 0 to data at t_end.

@register_baseline("fm_ot", label="FM w/ OT")
@dataclass(frozen=True)
class FlowMatchingOT(FlowBaseline):
    sigma_min: float = 0.0
    def loss(self, net, x1, rng): ...
    def velocity(self, net): ...
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.datasets.source import drawn
from bench.errors import NotApplicable, UsageError
from bench.methods.baseline import About, Baseline, Make
from bench.methods.guidance import NO_CLASS, Guided
from bench.methods.model import Model
from bench.methods.network import Network
from bench.methods.ode import VelocityField
from bench.methods.paths import Path, VariancePreserving, like


@dataclass(frozen=True)
class FlowBaseline(Baseline):
    """A method whose network `net(t, x)` defines a velocity field; t has shape (B,) where a network is called.

    Attributes:
        labels: whether the network is told the classes of the data, in training and in drawing.
        label_dropout: share of training samples that it is told no class of, which guidance needs (Ho & Salimans 2022;
            of flows: Zheng et al. 2023).
    """

    labels: bool = field(default=False, kw_only=True)
    label_dropout: Annotated[float, Field(ge=0, le=1)] = field(default=0.1, kw_only=True)

    def __post_init__(self) -> None:
        if self.label_dropout != FlowBaseline.label_dropout and not self.labels:
            raise UsageError(f"label_dropout = {self.label_dropout:g}: it needs labels = true")

    def inputs(self, data: About) -> dict[str, Any]:
        """What `build` passes on to make.network: {"classes": K} with labels, else nothing.

        Raises:
            NotApplicable: labels = true, and the data has no classes.
        """
        if not self.labels:
            return {}
        if not data.classes:
            raise NotApplicable("labels = true needs data with classes")
        return {"classes": data.classes}

    def build(self, make: Make, data: About) -> nn.Module:
        return make.network(**self.inputs(data))

    def tell(self, labels: Tensor | None, rng: torch.Generator) -> Tensor | None:
        """All classes but for a share of `label_dropout`."""
        if not self.labels or labels is None:
            return labels
        dropped = torch.rand(len(labels), generator=rng, device=labels.device) < self.label_dropout
        return torch.where(dropped, NO_CLASS, labels)

    @property
    def path(self) -> Path | None:
        """The Gaussian probability path p_t(x | x1) that the method is trained along, where it has one."""
        return None

    @property
    def t_end(self) -> float:
        """Where the ODE ends: 1, or just before it where the path is singular there."""
        return self.path.t_end if self.path else 1.0

    @abstractmethod
    def velocity(self, net: Network) -> VelocityField:
        """f(t, x) -> dx/dt of the shape of x, for a scalar t in [0, t_end] and x (B, ...)."""

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
        found = Model(velocity, self.t_end, path, samplers=self.samplers(net))
        if why := self._unguided(net):
            found = replace(found, absent={"guidance": why})
        else:
            found = replace(found, guidance=lambda scale: self.model(Guided(net, scale)))
        if path is None:
            return found
        eps = self.eps(net) or (lambda t, x: path.eps_from_velocity(t, x, velocity(t, x)))
        score: VelocityField = lambda t, x: -eps(t, x) / like(path.sigma(t), x)  # noqa: E731
        return replace(found, eps=eps, score=score, data=self.data(net))

    def _unguided(self, net: Network) -> str:
        """Why nothing guides the network; "" if classes do."""
        if not getattr(net, "has_classes", False):
            return "the network is told no class"
        learnt = self.label_dropout > 0 or not self.labels
        return "" if learnt else "label_dropout = 0: the network has not learnt what no class is"


@dataclass(frozen=True)
class DiffusionBaseline(FlowBaseline):
    """A method on the variance-preserving diffusion path (bench/methods/paths.py)."""

    needs_gaussian = True

    beta_min: float = 0.1
    beta_max: float = 20.0

    @property
    def path(self) -> VariancePreserving:
        return VariancePreserving(self.beta_min, self.beta_max)


def noise(x1: Tensor, rng: torch.Generator) -> Tensor:
    """x0 of the shape of x1, from the source that the generator carries, or from N(0, I)."""
    if (source := getattr(rng, "source", None)) is not None:
        return drawn(source, len(x1), rng).to(x1)
    return torch.randn(x1.shape, generator=rng, device=x1.device, dtype=x1.dtype)


def mean_square(error: Tensor) -> Tensor:
    """Mean over the dimensions of each sample, (B, ...) -> (B,)."""
    return error.square().flatten(1).mean(1)
