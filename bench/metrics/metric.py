"""The contract of a metric: what is said of its numbers wherever they are shown, and how they are measured.

    @register_metric("spread", title="Spread", direction="higher", data="points", in_curve=True)
    def spread(samples, reference, *_):
        return samples.std()

The facts of a number go into its record (bench/records/records.py), so a report needs no plugin. What is measured in a
stage of its own (likelihoods, evaluations, seconds) is declared by its facts alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from bench.config.registry import metrics

Direction = Literal["lower", "higher", ""]
Data = Literal["points", "images", "any"]
FLOOR = "_floor"  # ends the name of what the data itself scores


@dataclass(frozen=True)
class Facts:
    """What is said of a number.

    Attributes:
        title: in a header; `unit`, that of the recorded value, follows in brackets.
        direction: which one is better, or "" if neither is.
        group: the table that has its column: "quality", "likelihood", "geometry", "cost"; without one it has none.
        meaning: one sentence for a reader who is new to it.
    """

    title: str
    unit: str = ""
    direction: Direction = ""
    group: str = "quality"
    meaning: str = ""

    def row(self) -> dict[str, str]:
        """What a record's measurement says of it."""
        return {"title": self.title, "unit": self.unit, "direction": self.direction, "group": self.group}


@dataclass(frozen=True)
class Metric:
    """A metric that a stage measures by itself; those of samples are subclasses.

    Attributes:
        facts: of every number that it gives, by name; "fd_" stands for "fd_<extractor>".
        data: the kind of data that it is for.
        in_curve, in_sweep: whether validation curves and sweeps take it.
    """

    name: str
    facts: Mapping[str, Facts]
    data: Data = "any"
    in_curve: bool = False
    in_sweep: bool = False

    def facts_of(self, number: str) -> Facts | None:
        """The facts of a number, if it is one of this metric's; of a name that ends in "_" the rest is an extractor."""
        prefix, _, extractor = number.partition("_")
        if number in self.facts or f"{prefix}_" not in self.facts or number.endswith(FLOOR):
            return self.facts.get(number)
        found = self.facts[f"{prefix}_"]
        title = f"{found.title} {extractor.replace('_', '-')}"
        return replace(found, title=title, meaning=found.meaning.format(repr(extractor)))


def declare(name: str, data: Data = "any", in_curve: bool = False, in_sweep: bool = False, **facts: Facts) -> None:
    """Register what a stage measures: the facts of each of its numbers, by name."""
    metrics.register(name)(Metric(name, facts, data, in_curve, in_sweep))


def facts_of(number: str) -> Facts:
    """The facts of a number in a record; its name alone where no metric that is known here gives it."""
    base = number.removesuffix(FLOOR)
    for named in (number, base):
        for metric in metrics.values():
            if found := metric.facts_of(named):
                return found if named == number else replace(found, title=f"{found.title} floor", direction="")
    return Facts(number, group="")
