"""The contract of a sampler: a way of drawing from every model that has what it needs.

    @register_sampler("ddim")
    @dataclass(frozen=True)
    class DDIM(Sampler):
        needs = ("score", "path")
        steps: int = 50
        def sample(self, model, x0, rng): ...

Each field is an option, quoted in the record of what it draws.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from bench.config.names import word
from bench.config.registry import register_class, samplers
from bench.errors import UsageError
from bench.methods.model import Model

CAPABILITIES = tuple(f.name for f in fields(Model) if f.default is None)
Scale = Annotated[float, Field(ge=0, allow_inf_nan=False)]
ACCURACY = ("steps", "rtol", "atol")  # the options that a sweep goes through


@dataclass(frozen=True)
class Sampler(ABC):
    """A way of drawing samples; no sampler counts its evaluations, the network does.

    Attributes:
        guidance: the scale w of classifier-free guidance: 1 is the model told its classes, 0 the model told none.
        needs: capabilities of the model without which the sampler is not applicable.
        evaluations_a_step: what a step costs at most, if there is an option `steps`, which the sweep then sets.
        order: p of a method that solves the ODE: halving all steps divides its error by 2^p. Its error is measured in
            the sweep then, and the order by `--check`. None: it solves another equation, or none.
    """

    name: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()
    evaluations_a_step: ClassVar[int] = 1

    guidance: Scale = field(default=1.0, kw_only=True)

    @property
    def order(self) -> int | None:
        return None

    @property
    def evaluations(self) -> int | None:
        """Of the field for one sample; None if only a draw can tell."""
        steps = getattr(self, "steps", None)
        return steps and steps * self.evaluations_a_step

    @property
    def label(self) -> str:
        """The name, with the options that are not the default's but for those of accuracy: "euler-karras"."""
        own = [(f.name, getattr(self, f.name)) for f in fields(self) if f.name not in ACCURACY]
        defaults = {f.name: f.default for f in fields(self)}
        return "-".join([self.name, *(word(key, value) for key, value in own if value != defaults[key])])

    def __str__(self) -> str:
        """The label with its accuracy: "ddim-50"."""
        accuracy = dict.fromkeys(f"{getattr(self, f.name):g}" for f in fields(self) if f.name in ACCURACY)
        return "-".join([self.label, *accuracy])

    def settings(self, model: Model) -> dict[str, Any]:
        """What a record quotes beside the label of how it draws from that model: steps, and other options.

        A guidance that is not 1 is quoted beside, whatever a sampler says here.
        """
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "guidance"}
        steps = {"steps": found.pop("steps")} if "steps" in found else {}
        return {**steps, "options": found} if found else steps

    @abstractmethod
    def sample(self, model: Model, x0: Tensor, rng: torch.Generator) -> Tensor:
        """Samples of the shape of the noise x0 (B, ...); `rng`, on its device, is the only source of randomness.

        Raises:
            Diverged: a solve failed.
        """

    def quote(self, model: Model) -> dict[str, Any]:
        """All that a record quotes of how it draws from that model."""
        guided = {} if self.guidance == 1 else {"guidance": self.guidance}
        return {"sampler": self.label, **self.settings(model), **guided}

    def guided(self, model: Model) -> Model:
        """The model by the scale.

        Raises:
            NotApplicable: it has no guidance, and the scale is not 1.
        """
        found: Model = model if self.guidance == 1 else model.having("guidance")(self.guidance)
        return found

    def draw(self, model: Model, x0: Tensor, rng: torch.Generator) -> Tensor:
        """The samples, once the model has all that is needed.

        Raises:
            NotApplicable: it has not.
        """
        model = self.guided(model)
        for capability in self.needs:
            model.having(capability)
        return self.sample(model, x0, rng)


def of_few_steps(kind: type[Any]) -> dict[str, Sampler]:
    """A sampler with the option `steps`, of 1, 2 and 4 of them, by its name and theirs ("flow_map-4")."""
    return {str(sampler): sampler for sampler in (kind(steps=steps) for steps in (1, 2, 4))}


def register_sampler(name: str) -> Callable[[type[Any]], type[Any]]:
    """Class decorator: file a Sampler under `name`; UsageError for a need that no Model has."""
    register = register_class(samplers, name, Sampler)

    def file(cls: type[Any]) -> type[Any]:
        needs = getattr(cls, "needs", ())
        if not isinstance(needs, tuple) or set(needs) - set(CAPABILITIES):
            raise UsageError(f"sampler {name!r}: needs = {needs!r}: expected a tuple of {', '.join(CAPABILITIES)}")
        return register(cls)

    return file
