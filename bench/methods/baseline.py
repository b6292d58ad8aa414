"""The contract of a baseline: a loss and a velocity field. The harness measures everything else.

    @register_baseline("fm_ot", label="FM w/ OT")
    @dataclass(frozen=True)
    class FlowMatchingOT(Baseline):
        sigma_min: float = 0.0
        def loss(self, net, x1, rng): ...
        def velocity(self, net): ...

Each field of the dataclass is an option: `--set fm_ot.sigma_min=0.1` sets it and every record quotes it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bench.config.registry import baselines
from bench.errors import UsageError
from bench.methods.memory import Memory
from bench.methods.ode import VelocityField
from bench.methods.paths import Path, VariancePreserving

Network = Callable[[Tensor, Tensor], Tensor]


class CountedNetwork:
    """net(t, x) of a module that counts the rows of x that went through it: the one place that NFE comes from.

    The NFE of a batch is `rows` over the rows of the batch, whatever a method made of them: a guided field that asks
    for 2 B rows, or asks twice, costs 2 an evaluation.

    Attributes:
        module: the network proper.
        compiled: whether it is compiled.
        condition: what the images of a batch are conditioned on, (B, C', H, W); it joins x as further channels.
        memory: cuts a call that wants no gradient to the rows that there is room for.
        rows: rows that went through, each counted once however often an attempt at it ran out of memory.
    """

    def __init__(
        self,
        module: nn.Module,
        compiled: bool = False,
        condition: Tensor | None = None,
        memory: Memory | None = None,
    ) -> None:
        self.module = module
        self.compiled = compiled
        self.condition = condition
        self.memory = memory
        self.rows = 0
        self.flow: Any = None  # what bench/methods/cnf.py compiles of it
        self._call: Network = torch.compile(module) if compiled else module

    def __call__(self, t: Tensor, x: Tensor) -> Tensor:
        return self._counted(self._call, t, x)

    def plain(self, t: Tensor, x: Tensor) -> Tensor:
        """The same, not compiled."""
        return self._counted(self.module, t, x)

    def _counted(self, call: Network, t: Tensor, x: Tensor) -> Tensor:
        whole = x if self.condition is None else torch.cat([x, self.condition], 1)
        if self.memory is None or torch.is_grad_enabled():
            found = call(t, whole)
        else:
            found = self.memory.rowwise(lambda rows: call(t[rows], whole[rows]), len(x))
        self.rows += len(x)
        return found


@dataclass(frozen=True, init=False)
class Sampler:
    """A sampler of a method's own: noise x0 (B, ...) and a generator on its device -> samples of the shape of x0."""

    sample: Callable[[Tensor, torch.Generator], Tensor]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Sampler(sample). A number of evaluations before it, which plugins once had to say, is not used."""
        sample = named.get("sample", arguments[-1] if arguments else None)
        if not callable(sample):
            raise UsageError("Sampler(sample): sample is a function of noise x0 (B, ...) and a generator")
        object.__setattr__(self, "sample", sample)


@dataclass(frozen=True)
class Baseline(ABC):
    """A method: what it trains a network `net(t, x)` on, and the ODE the trained network defines.

    t has shape (B,) where a network is called; time runs from noise at 0 to data at `t_end`.
    """

    name: ClassVar[str] = ""
    label: ClassVar[str] = ""
    conditional: ClassVar[bool] = False

    @property
    def path(self) -> Path | None:
        """The Gaussian probability path p_t(x | x1) that the method is trained along, where it has one."""
        return None

    @property
    def t_end(self) -> float:
        """Where the ODE ends: 1, or just before it where the path is singular there."""
        return self.path.t_end if self.path else 1.0

    @abstractmethod
    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        """Loss of every sample of the batch x1 (B, ...), shape (B,); `rng` is the only source of randomness."""

    @abstractmethod
    def velocity(self, net: Network) -> VelocityField:
        """f(t, x) -> dx/dt of the shape of x, for a scalar t in [0, t_end] and x (B, ...)."""

    def samplers(self, net: Network) -> dict[str, Sampler]:
        """Native samplers, measured in rows of their own beside the ODE's."""
        return {}


@dataclass(frozen=True)
class DiffusionBaseline(Baseline):
    """A method on the variance-preserving diffusion path (bench/methods/paths.py)."""

    beta_min: float = 0.1
    beta_max: float = 20.0

    @property
    def path(self) -> VariancePreserving:
        return VariancePreserving(self.beta_min, self.beta_max)


def register_baseline(name: str, label: str, conditional: bool = False) -> Callable[[type[Any]], type[Any]]:
    """Class decorator: file a Baseline under `name`; tables show `label`.

    Args:
        conditional: whether the method makes no sense without a condition, as bench/datasets/superres.py has one.
    """

    def file(cls: type[Any]) -> type[Any]:
        if not (isinstance(cls, type) and issubclass(cls, Baseline)):
            raise UsageError(f"baseline {name!r}: {cls!r} is not a subclass of bench.Baseline")
        if lacking := sorted(cls.__abstractmethods__):
            raise UsageError(f"baseline {name!r}: {cls.__name__} lacks {' and '.join(lacking)}")
        cls.name, cls.label, cls.conditional = name, label, conditional
        return baselines.register(name)(cls)

    return file


def noise(x1: Tensor, rng: torch.Generator) -> Tensor:
    """x0 ~ N(0, I) of the shape of x1."""
    return torch.randn(x1.shape, generator=rng, device=x1.device, dtype=x1.dtype)


def mean_square(error: Tensor) -> Tensor:
    """Mean over the dimensions of each sample, (B, ...) -> (B,)."""
    return error.square().flatten(1).mean(1)
