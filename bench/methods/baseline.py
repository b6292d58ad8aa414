"""The contract of a method: how it trains, and what the trained model can do. The harness measures everything else.

    @register_baseline("mine", label="My method")
    @dataclass(frozen=True)
    class Mine(Baseline):
        weight: float = 1.0
        def loss(self, net, batch, ctx): ...
        def model(self, net): ...

Each field of the dataclass is an option: `--set mine.weight=0.1` sets it and every record quotes it. The usual kind,
whose network defines a velocity field, derives from FlowBaseline (bench/methods/flow.py) and says `velocity` instead.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, NoReturn, Protocol, Self

import torch
from torch import Tensor, nn

from bench.config.registry import baselines, register_class
from bench.errors import UsageError
from bench.methods.batch import Batch, Context
from bench.methods.model import Model


class Make(Protocol):
    """Builds what a method is made of; each call builds anew."""

    def network(self, **inputs: Any) -> nn.Module:
        """The run's network, for the samples of the run's dataset.

        Args:
            inputs: `classes` (a number; the keyword `labels` beside t and x, None for no class), `second_time` (True;
                the keyword `r`), `given` (the length of a vector; the keyword `given`), `time` (False; net(x) alone),
                `shape` (of x, (D,) or (C, H, W)), `out` (a number; a vector of so many outputs in place of the shape
                of x). What the dataset gives its samples is passed by itself; bench/networks/inputs.py has more.

        Raises:
            UsageError: the network takes no such input; the message says which networks do.
        """

    def pretrained(self, teacher: str, **inputs: Any) -> nn.Module:
        """The frozen network, with its averaged weights, of a run, by its id, or of a file.

        That of a run has its Baseline as the attribute `method`, whose model(net) says what it can do.

        Args:
            inputs: of the network whose weights a file holds, as above.

        Raises:
            UsageError: there is none, it has not ended, or it is not sound.
        """


def _untold() -> float:
    raise UsageError("About.deviation: nothing is told of the numbers of the data")


@dataclass(frozen=True)
class About:
    """What a method may know of the data before it is trained: no values.

    Attributes:
        shape: of one sample in model space, (D,) or (C, H, W).
        classes: number of classes, None where the data has no labels.
        given: shape of what one sample is given, (C', H, W) or (K,), None where nothing is given.
        deviation: measures that of all numbers of the training split in model space (bench/datasets/deviation.py).
    """

    shape: tuple[int, ...]
    classes: int | None = None
    given: tuple[int, ...] | None = None
    deviation: Callable[[], float] = field(default=_untold, compare=False)


@dataclass(frozen=True)
class Phase:
    """One update of a step.

    Attributes:
        loss: name of the method that gives it.
        part: of a ModuleDict, whose parameters alone are updated; None: all.
        betas: decay rates of Adam's two moments, unless `training.betas` says others.
    """

    loss: str = "loss"
    part: str | None = None
    betas: tuple[float, float] = (0.9, 0.999)


@dataclass(frozen=True)
class Baseline(ABC):
    """A method: what its network is, what it is trained on, and what the trained one can do."""

    name: ClassVar[str] = ""
    label: ClassVar[str] = ""
    needs_given: ClassVar[bool] = False
    phases: ClassVar[tuple[Phase, ...]] = (Phase(),)

    @property
    def needs_gaussian(self) -> bool:
        """Whether it makes sense only where x0 ~ N(0, I)."""
        return False

    @property
    def rowwise(self) -> bool:
        """Whether the loss of a sample hangs on that sample and on its own random numbers alone.

        Seeds are trained together if it does (bench/training/stack.py), after a step has shown it.
        """
        return True

    def for_data(self, data: About) -> Self:
        """The method with a value for each option that its own leaves to the data; asked before `build`."""
        return self

    def build(self, make: Make, data: About) -> nn.Module:
        """The module in training: the run's network, or a ModuleDict of several.

        Raises:
            NotApplicable: the method is not for such data; the message is the reason.
        """
        return make.network()

    def tell(self, labels: Tensor | None, rng: torch.Generator) -> Tensor | None:
        """What the network is told of a training batch's classes, int64 (B,): -1 for a sample told none.

        `rng` is of this question alone, so that an answer by chance changes no other random number. The loss finds all
        classes in `batch.labels`.
        """
        return labels

    @abstractmethod
    def loss(self, net: Any, batch: Any, ctx: Any) -> Tensor:
        """Loss of every sample of a Batch in a Context, shape (B,); `ctx.rng` is the only source of randomness.

        `loss(net, x1, rng)` with the samples and the generator alone will do. A method of several phases has a loss
        for each, of the same kind.
        """

    @property
    def looks_ahead(self) -> bool:
        """Whether `ahead` takes so long that a thread shall do it while the network works on the batches before."""
        return False

    def ahead(self, batch: Batch, rng: torch.Generator) -> Any:  # noqa: B027
        """What the loss of a batch finds before it asks the network, by those draws; it changes nothing else.

        A loss asks for it by `self.found(batch, ctx)`. Every phase has it if the method has several.
        """

    def found(self, batch: Batch, ctx: Context) -> Any:
        """What `ahead` finds, now or before; `ctx.rng` is behind its draws afterwards."""
        if ctx.found is None:
            return self.ahead(batch, ctx.rng)
        found, ctx.rng = ctx.found
        return found

    @abstractmethod
    def model(self, net: Any) -> Model:
        """What the trained network can do; `net` is bound to what the samples to come are given, and their labels."""

    @classmethod
    def fault(cls) -> str:
        """What the class says that cannot be, which refuses its registration; "" if there is nothing."""
        return ""

    def check_options(self) -> None:  # noqa: B027
        """UsageError if options cannot go together (`refuse`), or one says what nothing would use (`unused`).

        A plan is checked so, and a finished run is not: it is read whatever the rules and defaults have become since.
        """

    def refuse(self, option: str, why: str) -> NoReturn:
        """UsageError that names the method, an option, its value and why that cannot be."""
        raise UsageError(f"baseline {self.name}: {option} = {getattr(self, option)!r}: {why}")

    def unused(self, *options: str, needs: str) -> None:
        """UsageError for one of those options whose value is not the default, as nothing would use it.

        Args:
            needs: what would, as a user sets it ("labels = true").
        """
        for option in fields(self):
            if option.name in options and getattr(self, option.name) != option.default:
                self.refuse(option.name, f"it needs {needs}")


def losses(baseline: Baseline, phase: Phase, net: Any, batch: Batch, ctx: Context) -> Tensor:
    """The loss of a phase, (B,), by whichever of the two signatures the method has."""
    method = getattr(baseline, phase.loss)
    plain = is_plain(baseline, phase)
    found: Tensor = method(net, batch.x, ctx.rng) if plain else method(net, batch, ctx)
    return found


def is_plain(baseline: Baseline, phase: Phase) -> bool:
    """Whether the loss of a phase takes the samples and the generator alone."""
    method = getattr(baseline, phase.loss)
    return _is_plain(getattr(method, "__func__", method))


@cache
def _is_plain(loss: Callable[..., Tensor]) -> bool:
    """The same of a function; asked once, as there is a loss in every step."""
    return list(inspect.signature(loss).parameters)[-1] == "rng"


def register_baseline(name: str, label: str, needs_given: bool = False) -> Callable[[type[Any]], type[Any]]:
    """Class decorator: file a Baseline under `name`; tables show `label`.

    Args:
        needs_given: whether the method makes sense only where samples are given something, as those of
            bench/datasets/superres.py are.
    """

    def hint(cls: type[Any]) -> str:
        return "; derive from bench.FlowBaseline, which makes it of velocity" if hasattr(cls, "velocity") else ""

    register = register_class(baselines, name, Baseline, hint, label=label, needs_given=needs_given)

    def file(cls: type[Any]) -> type[Any]:
        if isinstance(cls, type) and issubclass(cls, Baseline) and (fault := cls.fault()):
            raise UsageError(f"baseline {name!r}: {cls.__name__} {fault}")
        return register(cls)

    return file
