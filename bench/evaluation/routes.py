"""Routes to the log-density of a sample: the ODE of a velocity, a density of the model's own, a lower bound of it.

By the ODE the divergence is exact up to EXACT_DIMENSIONS unless said otherwise, Hutchinson's above. What starts the ODE
is N(0, I), or the source of the data with its own log-density.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from bench.config.settings import Likelihood
from bench.errors import NotApplicable
from bench.evaluation.trained import Trained
from bench.methods.density import log_density, log_normal
from bench.methods.memory import Memory
from bench.methods.network import CountedNetwork
from bench.methods.ode import Solver
from bench.training.seeds import generator, per_sample

EXACT_DIMENSIONS = 64


@dataclass(frozen=True)
class Route(ABC):
    """A route of a trained network; what it measures is called `metric`_nats or `metric`_bpd."""

    trained: Trained
    config: Likelihood
    metric: Literal["nll", "bound"] = field(default="nll", kw_only=True)

    @property
    def name(self) -> str:
        return f"{self.own()}"

    @abstractmethod
    def own(self) -> dict[str, Any]:
        """What a measurement quotes of the route alone."""

    def settings(self) -> dict[str, Any]:
        """What a measurement quotes beside K and the weights."""
        dataset = self.trained.dataset
        return {
            **self.own(),
            "dequantisation": "uniform" if dataset.is_image and dataset.space is None else None,
            "batch": self.config.batch,
            "split": dataset.held_out,
            **self.trained.labels(held_out=True),
        }

    @abstractmethod
    def log_p(self, net: CountedNetwork, x: Tensor, k: int, start: int) -> tuple[Tensor, Tensor]:
        """log p(x), (B,), of held-out samples from `start` on, in the k-th draw, and its variance over probes.

        NotApplicable if the model, or the data, has no such density; Diverged if a solve failed.
        """


@dataclass(frozen=True)
class Own(Route):
    """The model's own density."""

    def own(self) -> dict[str, Any]:
        return {"density": "own"}

    def log_p(self, net: CountedNetwork, x: Tensor, k: int, start: int) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            found: Tensor = self.trained.model_of(net).having("log_prob")(x)
        return found, torch.zeros_like(found)


@dataclass(frozen=True)
class Bound(Route):
    """The model's own lower bound, or log 1/K sum_k w_k of K > 1 of its weights (Burda et al., ICLR 2016).

    Random numbers are those of the first sample of a batch.
    """

    metric: Literal["nll", "bound"] = field(default="bound", kw_only=True)
    importance: int = 1

    def own(self) -> dict[str, Any]:
        return {"density": "bound", "importance": self.importance}

    def log_p(self, net: CountedNetwork, x: Tensor, k: int, start: int) -> tuple[Tensor, Tensor]:
        model, rng = self.trained.model_of(net), generator(self.trained.seed, f"bound-{k}", start, x.device)
        with torch.no_grad():
            if self.importance == 1:
                found: Tensor = model.having("bound")(x, rng)
            else:
                log_weight = model.having("log_weight")
                found = torch.full((len(x),), -math.inf, dtype=torch.float64, device=x.device)
                for _ in range(self.importance):
                    found = torch.logaddexp(found, log_weight(x, rng).to(found))
                found -= math.log(self.importance)
        return found, torch.zeros_like(found)


@dataclass(frozen=True)
class ByODE(Route):
    """The change of variables along the ODE, by a solver."""

    solver: Solver = field(default_factory=Solver)
    memory: Memory = field(default_factory=Memory, compare=False)

    def own(self) -> dict[str, Any]:
        exact = self.config.divergence == "exact"
        exact |= self.config.divergence == "auto" and self.trained.dataset.dim <= EXACT_DIMENSIONS
        divergence = {"divergence": "exact" if exact else "hutchinson", "probes": None if exact else self.config.probes}
        return {**self.solver.settings(), **divergence}

    def log_p(self, net: CountedNetwork, x: Tensor, k: int, start: int) -> tuple[Tensor, Tensor]:
        model, probes = self.trained.model_of(net), self.own()["probes"]
        f = model.having("velocity" if model.velocity or "log_prob" not in model.absent else "log_prob")
        z = None if probes is None else self._probes(probes, k, start, start + len(x))
        self.memory.shared = net.shared
        return log_density(f, x, model.t_end, self.solver, z, self.memory, prior(self.trained))

    def _probes(self, probes: int, k: int, start: int, stop: int) -> Tensor:
        """Rademacher probes of samples start ... stop - 1 in the k-th draw, shape (probes, stop - start, ...)."""
        shape, trained = (probes, *self.trained.dataset.shape), self.trained

        def draw(g: torch.Generator) -> Tensor:
            return torch.randint(0, 2, shape, generator=g).float() * 2 - 1

        return per_sample(draw, trained.seed, f"probe-{k}", start, stop, trained.device).transpose(0, 1)


def prior(trained: Trained) -> Callable[[Tensor], Tensor]:
    """The log-density that the ODE starts from; NotApplicable if the data has a source without one."""
    source = trained.dataset.source
    found: Callable[[Tensor], Tensor] | None = log_normal if source is None else getattr(source, "log_prob", None)
    if found is None:
        raise NotApplicable(f"the source of {trained.dataset.name} has no log-density")
    return found


def routes(trained: Trained, config: Likelihood) -> list[Route]:
    """The density of the model's own, else that of the ODE by every solver; and bounds of each K if it has one."""
    model = trained.model()
    found: list[Route] = [Own(trained, config)]
    if not model.log_prob:
        found = [ByODE(trained, config, Solver(**solver.model_dump())) for solver in config.solvers]
    bounds = sorted({1, *config.importance}) if model.bound else []
    return [*found, *(Bound(trained, config, importance=k) for k in bounds)]
