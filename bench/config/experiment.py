"""An experiment of a suite: datasets with what is done on each, and what a protocol or a baseline changes in it."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from bench.config.registry import unknown
from bench.config.settings import Component, Evaluation, Frozen, Seed, Training, listed
from bench.config.tune import Tune

Protocol = Literal["smoke", "small", "paper"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)


class Variation(BaseModel):
    """What a protocol changes in its experiment: its baselines, seeds and overrides, and any of an override's keys.

    Those are the extra ones: settings of every baseline; `tune = false` tunes nothing.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    baselines: tuple[str, ...] | None = None
    seeds: tuple[Seed, ...] | None = None
    overrides: dict[str, dict[str, Any]] = {}


class Experiment(Frozen):
    """Datasets, one or a list of them, with what is done on each."""

    dataset: Annotated[tuple[Component, ...], BeforeValidator(listed)]
    network: Component
    baselines: tuple[str, ...]
    training: Training
    evaluation: Evaluation = Evaluation()
    seeds: tuple[Seed, ...] | None = None
    tune: Tune | None = None
    overrides: dict[str, dict[str, Any]] = Field(default_factory=dict)
    protocols: dict[str, Variation] = Field(default_factory=dict)

    def variation(self, protocol: str) -> Variation:
        return self.protocols.get(protocol, Variation())

    def of(self, protocol: str) -> tuple[str, ...]:
        """The baselines that run under a protocol; with none the experiment is not of it."""
        own = self.variation(protocol).baselines
        return self.baselines if own is None else own

    @model_validator(mode="after")
    def _names_apply(self) -> "Experiment":
        every = [*self.baselines, *(name for v in self.protocols.values() for name in v.baselines or ())]
        _known("protocols", "protocol", self.protocols, PROTOCOLS)
        _known("overrides", "baseline of this experiment", self.overrides, every)
        for protocol, variation in self.protocols.items():
            _known(f"protocols.{protocol}.overrides", "baseline of this experiment", variation.overrides, every)
        return self


def _known(key: str, kind: str, found: Iterable[str], names: Iterable[str]) -> None:
    for name in found:
        if name not in names:
            raise ValueError(f"{key}: " + unknown(kind, name, list(names)))
