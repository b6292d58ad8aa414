"""What a trained network can do. A stage asks; what is absent is not applicable, with its reason."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bench.errors import NotApplicable
from bench.methods.ode import VelocityField
from bench.methods.paths import Path, like

Draw = Callable[[Tensor, torch.Generator], Tensor]  # noise x0 (B, ...), generator on its device -> samples like x0

FlowMap = Callable[[Tensor, Tensor, Tensor], Tensor]  # t, r, x (B, ...) -> like x


@dataclass(frozen=True)
class Model:
    """The capabilities of a trained network; all take x of shape (B, ...) in model space.

    Attributes:
        velocity: f(t, x) -> dx/dt for a scalar t in [0, t_end]: samplers of the ODE, the geometry of its paths,
            pictures of the density, and a likelihood by the change of variables.
        t_end: where the ODE ends.
        path: the Gaussian path that the model is trained along, where it has one.
        score: (t, x) -> grad log p_t(x), for samplers of the reverse SDE and of noise predictors.
        eps: (t, x) -> E(x0 | x_t = x), the predicted noise, where that is what the network gives.
        data: (t, x) -> E(x1 | x_t = x), the predicted data, where that is what the network gives.
        flow_map: (t, r, x) -> where the ODE leads from x at time t to time r, in one evaluation; scalars t <= r.
        consistency: (t, x) -> where it leads from x at time t to t_end, in one evaluation.
        log_prob: x -> log p(x) in nats (B,), an exact likelihood of the model's own.
        bound: (x, generator) -> a lower bound of log p(x) in nats (B,), a metric of its own.
        guidance: scale w -> the model whose network answers free + w (told - free) (bench/methods/guidance.py).
        log_weight: (x, generator) -> log w in nats (B,), with E w = p(x): log 1/K sum_k w_k bounds log p(x) as well,
            more tightly the larger K is. A model with it has a bound, too.
        samplers: the model's own ways of drawing, by name: a `Sampler` (bench/methods/sampler.py), or a `Draw`.
            The first is the headline row of a model without a velocity.
        absent: why a capability is not there ("log_prob": "a GAN has no density").
    """

    velocity: VelocityField | None = None
    t_end: float = 1.0
    path: Path | None = None
    score: VelocityField | None = None
    eps: VelocityField | None = None
    data: VelocityField | None = None
    flow_map: FlowMap | None = None
    consistency: VelocityField | None = None
    log_prob: Callable[[Tensor], Tensor] | None = None
    bound: Callable[[Tensor, torch.Generator], Tensor] | None = None
    log_weight: Callable[[Tensor, torch.Generator], Tensor] | None = None
    guidance: Callable[[float], "Model"] | None = None
    samplers: Mapping[str, Any] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)

    def predicted_noise(self) -> VelocityField:
        """(t, x) -> eps = -sigma_t score.

        Raises:
            NotApplicable: the model has no path, or no score.
        """
        if self.eps:
            return self.eps
        path, score = self.having("path"), self.having("score")
        return lambda t, x: -like(path.sigma(t), x) * score(t, x)

    def predicted_velocity(self) -> VelocityField:
        """(t, x) -> the velocity, or what follows of it from the predicted noise.

        Raises:
            NotApplicable: the model has neither a velocity nor both a path and a score.
        """
        if self.velocity:
            return self.velocity
        path, eps = self.having("path"), self.predicted_noise()
        return lambda t, x: path.velocity_from_eps(t, x, eps(t, x))

    def predicted_data(self) -> VelocityField:
        """(t, x) -> E(x1 | x_t = x): the network's, or of the velocity, which knows it if alpha = 0, or of the noise.

        Raises:
            NotApplicable: the model has no path, or neither a velocity nor a score.
        """
        if self.data:
            return self.data
        path = self.having("path")
        if velocity := self.velocity:
            return lambda t, x: path.data_from_velocity(t, x, velocity(t, x))
        eps = self.predicted_noise()
        return lambda t, x: (x - like(path.sigma(t), x) * eps(t, x)) / like(path.alpha(t), x)

    def having(self, capability: str) -> Any:
        """The capability of that name.

        Raises:
            NotApplicable: the model has none; the message is the reason.
        """
        found = getattr(self, capability)
        if found is None:
            raise NotApplicable(self.absent.get(capability, f"the model has no {capability}"))
        return found
