"""The contract of a metric: what is said of its numbers wherever they are shown, and how they are measured.

    @register_metric("spread", title="Spread", direction="higher", data="points", in_sweep=True, limit=2000)
    def spread(samples, reference, dataset, rng):
        return samples.std()

What a stage measures by itself (likelihoods, evaluations, seconds) is declared by its facts. The facts of a number go
into its record, so a report needs no plugin.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from bench.config.registry import metrics
from bench.config.settings import Samples
from bench.errors import UsageError

Direction = Literal["lower", "higher", ""]
Data = Literal["points", "images", "any"]
Needs = Literal["samples", "features", "pairs", ""]
Group = Literal["quality", "likelihood", "geometry", "cost", ""]
FLOOR = "_floor"  # ends the name of what the data itself scores
EXACT = "_exact"  # and of what the exact field of a path has
BESIDE = {FLOOR: "floor", EXACT: "of the exact field"}  # what stands beside the numbers of methods, in words

SAID = ("title", "unit", "direction", "group", "meaning")  # of a number in its record


@dataclass(frozen=True)
class Facts:
    """What is said of a number.

    Attributes:
        title: in a header; `unit`, that of the recorded value, follows in brackets.
        direction: which one is better, or "" if neither is.
        group: the table that has its column: "quality", "likelihood", "geometry", "cost"; without one it has none.
        meaning: one sentence for a reader who is new to it.
        place: where its column stands among others, in ascending order: from 10 likelihoods, from 20 quality, from 40
            geometry, from 50 evaluations, from 60 seconds and memory.
        divide: a value over this is shown in another `unit` than the recorded one.
    """

    title: str
    unit: str = ""
    direction: Direction = ""
    group: Group = "quality"
    meaning: str = ""
    place: int = 30
    divide: float = 1.0

    @property
    def table(self) -> Literal["quality", "cost", ""]:
        """The table that has its column."""
        return "cost" if self.group == "cost" else "quality" if self.group else ""

    def row(self) -> dict[str, str]:
        """What a record's measurement says of it."""
        return {key: getattr(self, key) for key in SAID}


@dataclass(eq=False)
class Metric:
    """A metric as it is registered.

    Attributes:
        facts: of every number that it gives, by name; "fd_" stands for "fd_<extractor>", and {} in its meaning for the
            extractor. One of features whose facts name no such prefix has it by itself for a further extractor:
            "precision_dinov2".
        measure: (x, reference, dataset, rng) -> the number, or it and its standard error; a tuple of such pairs if
            there are several numbers. `dataset` is a bench.Dataset and `rng` a torch.Generator on the CPU, seeded by
            the run and the metric. NotApplicable if the data, or the extractor, lacks what it takes.
        needs: what x and reference are; without it a stage measures the metric by itself.
            "samples": x is (n, D) float32 or uint8 (n, C, H, W), gathered on the main rank, and `reference` is
                held-out data like it, as much if there is so much;
            "features": bench.metrics.extractors.features.Features of samples and of real images, collected once;
            "pairs": a batch of images, and the image that each should be; the numbers (B,) are averaged.
        needs_of_images: what they are of images, if that is something else.
        data: the kind of data that it is for.
        in_curve, in_sweep: whether validation curves and sweeps take it.
        settings: (x, reference) -> what the numbers depend on beside the samples, the split and the extractor; asked
            before x has its values. Numbers under other settings are never compared, so what follows from the values
            of `reference`, which may be other draws for each seed, is said by its rule.
        limit: how many samples it takes at most, if `limits` of the samples' settings says no other number for it; or
            the name of the setting that says so, in the stage of samples alone. With a limit it takes no more than are
            held out. It is of what needs "samples": features are of all samples.
        least: how many samples it needs; of fewer it is not applicable.
        of_train: whether it looks at dataset.train, and at dataset.test as what was not trained on; the rows of neither
            are fresh data for it. Of samples that are given something (`dataset.is_given`, `dataset.is_joined`) test
            has what these are given.
        of_kept: whether it sees the features that are kept alone.
        of_classifier: whether it takes an extractor with a classifier; it is no usual metric of others.
    """

    name: str
    facts: Mapping[str, Facts]
    measure: Callable[..., Any] | None = None
    needs: Needs = ""
    data: Data = "any"
    in_curve: bool = False
    in_sweep: bool = False
    needs_of_images: Needs = ""
    settings: Callable[[Any, Any], dict[str, Any]] = lambda x, reference: {}
    limit: int | str = ""
    least: int = 1
    of_train: bool = False
    of_kept: bool = False
    of_classifier: bool = False

    def on(self, kind: Data) -> "Metric":
        """The metric as it is of points, or of images."""
        changes = kind == "images" and self.needs_of_images
        return replace(self, needs=self.needs_of_images) if changes else self

    def numbers(self, extractor: str = "", is_own: bool = True) -> list[str]:
        """Names of its numbers by an extractor, be it the dataset's own or a further one.

        Only inception's have none in their name; of a metric without prefixes, only those of the dataset's own.
        """
        has_prefix = any(name.endswith("_") for name in self.facts)
        if extractor == "inception" if has_prefix else is_own:
            return [name for name in self.facts if not name.endswith("_")]
        return [f"{prefix}{extractor}" for prefix in self.prefixes]

    @property
    def prefixes(self) -> list[str]:
        """What the names of its numbers begin with before an extractor's."""
        own = [name for name in self.facts if name.endswith("_")]
        return own or [f"{name}_" for name in self.facts if "features" in (self.needs, self.needs_of_images)]

    def key_of(self, number: str) -> str:
        """The number itself if it is one of its facts, else the longest prefix; "" if it is none of this metric's."""
        if number in self.facts or is_beside(number):
            return number if number in self.facts else ""
        return max((prefix for prefix in self.prefixes if number.startswith(prefix)), key=len, default="")

    def facts_of(self, number: str) -> Facts | None:
        """The facts of a number, if it is one of this metric's."""
        key = self.key_of(number)
        if number in self.facts or not key:
            return self.facts.get(number)
        found, extractor = self.facts.get(key) or self.facts[key.removesuffix("_")], number.removeprefix(key)
        title = f"{found.title} {extractor.replace('_', '-')}"
        return replace(found, title=title, meaning=found.meaning.replace("{}", repr(extractor)))


def register_metric(
    name: str,
    *,
    title: str = "",
    unit: str = "",
    direction: Direction = "",
    group: Group = "quality",
    meaning: str = "",
    place: int = Facts.place,
    facts: Mapping[str, Facts] | None = None,
    needs: Needs = "samples",
    **options: Any,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: file a function, see `Metric.measure`, under `name`.

    Args:
        facts: by the name of a number, if that is not `name` with the facts that are named before.
        options: further attributes of Metric.

    Raises:
        UsageError: one of them is not what it may be, or another metric has a number of that name.
    """
    register = metrics.register(name)

    def file(measure: Callable[..., Any]) -> Callable[..., Any]:
        if not callable(measure):
            raise UsageError(f"metric {name!r}: {measure!r} is no function (samples, reference, dataset, rng)")
        if not (title or facts):
            raise UsageError(f"metric {name!r}: it has no title; register_metric({name!r}, title=...)")
        known = facts or {name: Facts(title, unit, direction, group, meaning, place)}
        try:
            metric = Metric(name, known, measure, needs, **options)
        except TypeError as error:
            raise UsageError(f"metric {name!r}: register_metric: {error}") from error
        # Where it stands, for the identity of a run and for --list.
        metric.__module__, metric.__doc__ = measure.__module__, measure.__doc__
        metric.__qualname__ = measure.__qualname__  # type: ignore[attr-defined]
        _check(metric)
        register(metric)
        return measure

    return file


def declare(name: str, data: Data = "any", in_curve: bool = False, in_sweep: bool = False, **facts: Facts) -> None:
    """Register what a stage measures: the facts of each of its numbers, by name."""
    metric = Metric(name, facts, data=data, in_curve=in_curve, in_sweep=in_sweep)
    _check(metric)
    metrics.register(name)(metric)


def _check(metric: Metric) -> None:
    """UsageError for what no metric can be, or a number that another one gives."""
    # One that may be left out, as reference_n, limits nothing then.
    limits = ("", *(key for key, field in Samples.model_fields.items() if key.endswith("_n") and field.default))
    told: list[tuple[str, Any, tuple[str, ...]]] = [
        ("needs", metric.needs, get_args(Needs)),
        ("needs_of_images", metric.needs_of_images, get_args(Needs)),
        ("data", metric.data, get_args(Data)),
    ]
    counts = [("least", metric.least)]
    if isinstance(metric.limit, str):
        told.append(("limit", metric.limit, limits))
    else:
        counts.append(("limit", metric.limit))
    for facts in metric.facts.values():
        told += [("direction", facts.direction, get_args(Direction)), ("group", facts.group, get_args(Group))]
    for key, value, allowed in told:
        if value not in allowed:
            names = ", ".join(map(repr, allowed))
            raise UsageError(f"metric {metric.name!r}: {key} = {value!r}: allowed are {names}")
    for key, count in counts:
        if type(count) is not int or count < 1:
            raise UsageError(f"metric {metric.name!r}: {key} = {count!r}: a number of samples, from 1 up")
    if not callable(metric.settings):
        raise UsageError(f"metric {metric.name!r}: settings = {metric.settings!r}: expected a function (x, reference)")
    for other in metrics.so_far().values():
        if other.name != metric.name and (taken := metric.facts.keys() & other.facts.keys()):
            raise UsageError(f"metric {metric.name!r}: {min(taken)!r} is a number of metric {other.name!r}")


def metric_of(number: str) -> Metric | None:
    """The metric that gives a number; None where none that is known here does."""
    found = max(metrics.values(), key=lambda metric: len(metric.key_of(number)), default=None)
    return found if found and found.key_of(number) else None


def is_beside(number: str) -> bool:
    """Whether a number is no method's: what stands beside theirs."""
    return number.endswith(tuple(BESIDE))


def facts_of(number: str) -> Facts:
    """The facts of a number in a record; its name alone where no metric that is known here gives it."""
    for suffix, words in ({"": ""} | BESIDE).items():
        name = number.removesuffix(suffix)
        if (metric := metric_of(name)) and (found := metric.facts_of(name)):
            return found if name == number else replace(found, title=f"{found.title} {words}", direction="")
    return Facts(number, group="")
