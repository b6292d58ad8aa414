"""One number with what it takes to repeat it, as it is measured and as a record has it."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

from bench.config.registry import metrics
from bench.metrics.metric import facts_of

ELSEWHERE = "made elsewhere"  # the sampler of what no model here drew
PLACE = ("step", "train_seconds", "nfe_training")  # of a point of the validation curve


@dataclass(frozen=True)
class Measurement:
    """One number.

    Attributes:
        stderr: standard error of `value` over what `n` counts; with more than one `repeats` in the settings over these,
            each of n of its own, whose values deviate by stderr sqrt(repeats). With one, or none said, it is what the
            metric itself says: KID's over its subsets, a share's over its samples.
        n: samples behind the value.
        settings: solver, tolerances, probes, draws, batch, split, extractor and what else the value depends on.
        seconds: what measuring took.
        reason: why there is no value ("diverged at 4 evaluations"), which is then not a number.
        place: where the value stands on its curve: PLACE in the course of training, `nfe` in a sweep.
    """

    metric: str
    value: float = math.nan
    stderr: float | None = None
    n: int | None = None
    seconds: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None
    place: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Hold settings as a record will: a path as text, a number of numpy or torch as Python's."""
        object.__setattr__(self, "settings", json.loads(json.dumps(self.settings, default=_plain)))

    def row(self) -> dict[str, Any]:
        """The measurement in a record, with the facts of its metric."""
        return {**asdict(self), **facts_of(self.metric).row()}


def _plain(value: Any) -> Any:
    return value.item() if getattr(value, "size", None) == 1 or getattr(value, "ndim", None) == 0 else str(value)


@lru_cache(maxsize=4096)
def _facts(number: str, known: int) -> dict[str, str]:
    """Facts as a record has them; they may be others once more metrics are known."""
    return facts_of(number).row()


def modern(row: Mapping[str, Any], stage: str) -> dict[str, Any]:
    """A measurement of schema 2 as today's records have it: its place apart from its settings, and its facts."""
    of_curve = stage == "train" and row["settings"].get("curve") is True
    keys = ("curve", *PLACE) if of_curve else ("nfe",) if stage == "sweep" else ()
    place = {key: value for key, value in row["settings"].items() if key in keys and isinstance(value, int | float)}
    settings = {key: value for key, value in row["settings"].items() if key not in place}
    place.pop("curve", None)
    facts = _facts(row["metric"], len(metrics))
    return {**facts, **row, "settings": settings, "place": {**row.get("place", {}), **place}}
