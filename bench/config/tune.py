"""What a suite tunes: every combination of the values that it lists is tried, and the best one trains what is reported.

    tune = { training.lr = [2e-3, 4e-3, 1e-2], seeds = [1000], untuned = [0, 1] }

A trial is one combination with one tuning seed: a training that is measured at its end on the validation split. The
grid is the same for all baselines of an experiment. bench/config/choice.py chooses.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator

from bench.config.registry import unknown
from bench.config.settings import Frozen, Positive, Seed, Training, listed

# A budget is what runs are compared at, weights are not trained, and no number hangs on the rest, but for memory.
FIXED = {"weights", "steps", "seconds", "evaluations", "batch", "micro_batch", "curve_points", "curve_n"}
FIXED |= {"compile", "channels_last", "shard_optimizer", "checkpoint_seconds", "stack"}
Values = dict[str, Any]  # by dotted key: {"training.lr": 0.01}
Lists = dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]]


class Tune(Frozen):
    """Values to try of `training`, of the network's and of the baseline's options, and how the best one is known.

    `metric` is a metric of the curve, or one of its numbers; by default the likelihood, or where there is none the
    first measure of quality. `n` is the curve_n of trials, by default that of the training. `untuned` are reported
    seeds that run at the suite's own settings as well.
    """

    training: Lists = Field(default_factory=dict)
    network: Lists = Field(default_factory=dict)
    options: Lists = Field(default_factory=dict)
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1), BeforeValidator(listed)] = (1000,)
    metric: str | None = None
    n: Positive | None = None
    untuned: tuple[Seed, ...] = ()

    @field_validator("training")
    @classmethod
    def _can_be_tuned(cls, lists: Lists) -> Lists:
        allowed = sorted(Training.model_fields.keys() - FIXED)
        for key in lists:
            if key not in allowed:
                raise ValueError(unknown("key", key, allowed))
        return lists

    @field_validator("seeds", "untuned")
    @classmethod
    def _seeds_once(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(dict.fromkeys(seeds))

    @model_validator(mode="after")
    def _has_values(self) -> "Tune":
        if not self.lists:
            raise ValueError("nothing to try; for example training.lr = [1e-3, 1e-2]")
        for key, values in self.lists.items():
            if twice := [value for value in values if values.count(value) > 1]:
                raise ValueError(f"{key}: {twice[0]} is named twice")
        return self

    @property
    def lists(self) -> Mapping[str, tuple[Any, ...]]:
        """The values of each dotted key: "training.lr", "network.width", "options.sigma_min"."""
        heads = {"training": self.training, "network": self.network, "options": self.options}
        return {f"{head}.{key}": values for head, lists in heads.items() for key, values in lists.items()}

    def combinations(self) -> Iterator[Values]:
        """Every one of a value per key, the last key's values fastest."""
        for values in itertools.product(*self.lists.values()):
            yield dict(zip(self.lists, values, strict=True))


def put(settings: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run, as its `model_dump` has them, with these values by dotted key."""
    for key, value in values.items():
        _holder(settings, key)[key.partition(".")[2]] = value
    return settings


def without(settings: dict[str, Any], keys: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without what is tuned, so that they are the same whatever is chosen."""
    for key in keys:
        _holder(settings, key).pop(key.partition(".")[2], None)
    for component in ("network", "baseline"):
        if not settings[component].get("options", True):
            del settings[component]["options"]
    return settings


def _holder(settings: dict[str, Any], key: str) -> dict[str, Any]:
    head = key.partition(".")[0]
    if head == "training":
        return settings["training"]
    component: dict[str, Any] = settings["network" if head == "network" else "baseline"]
    options: dict[str, Any] = component.setdefault("options", {})
    return options
