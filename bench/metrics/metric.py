"""The contract of a metric: what is said of its numbers wherever they are shown, and how they are measured.

    @register_metric("spread", title="Spread", direction="higher", data="points", in_sweep=True)
    def spread(samples, reference, *_):
        return samples.std()

A function of samples is a metric, and so is a subclass of Metric. What a stage measures by itself (likelihoods,
evaluations, seconds) is declared by its facts. The facts of a number go into its record, so a report needs no plugin.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from bench.config.registry import metrics, unknown
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.config.settings import Samples

Direction = Literal["lower", "higher", ""]
Data = Literal["points", "images", "any"]
Needs = Literal["samples", "features", "pairs", ""]
Value = Any  # a number, or a number with its standard error
FLOOR = "_floor"  # ends the name of what the data itself scores
USUAL = {"points": ("w2",), "images": ("fid", "kid", "precision_recall", "inception_score"), "given": ("psnr", "ssim")}


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


class Metric:
    """A metric; without `needs` a stage measures it by itself.

    Attributes:
        needs: what it is measured of:
            "samples": x is (n, D) float32 or uint8 (n, C, H, W), gathered on the main rank, and `reference` is
                held-out data like it, as much if there is so much;
            "features": x and `reference` are bench.metrics.extractors.features.Features of samples and of real images,
                collected once for all metrics;
            "pairs": x is a batch of images, and `reference` the image that each of them should be.
        facts: of every number that it gives, by name; "fd_" stands for "fd_<extractor>".
        data: the kind of data that it is for.
        in_curve, in_sweep: whether validation curves and sweeps take it.
        of_classifier: whether it takes an extractor with a classifier; it is no usual metric of others.
    """

    needs: ClassVar[Needs] = ""
    of_classifier: ClassVar[bool] = False
    name: str = ""
    facts: Mapping[str, Facts] = {}
    data: Data = "any"
    in_curve: bool = False
    in_sweep: bool = False

    def measure(self, x: Any, reference: Any, dataset: Any, rng: Any) -> Value | tuple[Value, ...]:
        """The number; with its standard error a pair of them; a tuple of either if the metric gives several numbers.

        Of pairs, the values (B,) of a batch, float64, of which the mean and its standard error are taken.

        Args:
            dataset: a bench.Dataset.
            rng: a torch.Generator on the CPU, seeded by the run and the metric; the only source of randomness.

        Raises:
            NotApplicable: the data, or the extractor, lacks what it takes.
        """
        raise NotImplementedError

    def settings(self, x: Any, reference: Any) -> dict[str, Any]:
        """What the numbers depend on beside the samples, the split and the extractor."""
        return {}

    def count(self, x: Any) -> int:
        """How many samples are behind the numbers."""
        return int(x.n) if self.needs == "features" else len(x)

    def most(self, config: "Samples", held_out: int, stage: str) -> int | None:
        """How many samples it takes at most in a stage, if there are so many held-out ones; None for all."""
        return None

    def numbers(self, extractor: str = "") -> list[str]:
        """Names of its numbers by an extractor; only inception's have no extractor in their name."""
        own = [f"{name}{extractor}" for name in self.facts if name.endswith("_") and extractor != "inception"]
        return own or [name for name in self.facts if not name.endswith("_")]

    @property
    def title(self) -> str:
        """The title of its first number."""
        return next(iter(self.facts.values())).title

    def facts_of(self, number: str) -> Facts | None:
        """The facts of a number, if it is one of this metric's."""
        prefix, _, extractor = number.partition("_")
        if number in self.facts or f"{prefix}_" not in self.facts or number.endswith(FLOOR):
            return self.facts.get(number)
        found = self.facts[f"{prefix}_"]
        title = f"{found.title} {extractor.replace('_', '-')}"
        return replace(found, title=title, meaning=found.meaning.format(repr(extractor)))


def register_metric(
    name: str,
    *,
    title: str = "",
    unit: str = "",
    direction: Direction = "",
    group: str = "quality",
    meaning: str = "",
    facts: Mapping[str, Facts] | None = None,
    data: Data = "any",
    in_curve: bool = False,
    in_sweep: bool = False,
) -> Callable[[Any], Any]:
    """Decorator: file a subclass of Metric, or a function of samples (see `Metric.measure`), under `name`.

    Args:
        facts: by the name of a number, if that is not `name` with the facts that are named before.
    """

    def file(entry: Any) -> Any:
        if isinstance(entry, type):
            if not issubclass(entry, Metric):
                raise UsageError(f"metric {name!r}: {entry!r} is not a subclass of bench.Metric")
            metric: Any = entry()
        elif callable(entry):
            metric = OfSamples()
            metric.measure = entry
        else:
            raise UsageError(f"metric {name!r}: {entry!r} is neither a function nor a subclass of bench.Metric")
        if not (title or facts):
            raise UsageError(f"metric {name!r}: it has no title; register_metric({name!r}, title=...)")
        metric.name = name
        metric.facts = facts or {name: Facts(title, unit, direction, group, meaning)}
        metric.data, metric.in_curve, metric.in_sweep = data, in_curve, in_sweep
        # Where it stands: what the identity of a run and --list look for.
        metric.__module__, metric.__qualname__, metric.__doc__ = entry.__module__, entry.__qualname__, entry.__doc__
        metrics.register(name)(metric)
        return entry

    return file


class OfSamples(Metric):
    """A function of samples."""

    needs = "samples"


def declare(name: str, data: Data = "any", in_curve: bool = False, in_sweep: bool = False, **facts: Facts) -> None:
    """Register what a stage measures: the facts of each of its numbers, by name."""
    metric = Metric()
    metric.name, metric.facts, metric.data, metric.in_curve, metric.in_sweep = name, facts, data, in_curve, in_sweep
    metrics.register(name)(metric)


def chosen(names: Iterable[str] | None, is_image: bool, is_given: bool) -> list[Metric]:
    """The metrics of samples by their names; without names the usual ones of such data.

    Raises:
        UsageError: a name that is not known, or of no metric of samples, or of one for other data.
    """
    kind = "images" if is_image else "points"
    found = []
    for name in names or usual(is_image, is_given):
        metric = _of_samples(name)
        if metric.data not in ("any", kind):
            allowed = [other for other, entry in metrics.items() if entry.needs and entry.data in ("any", kind)]
            message = f"{name!r} is for {metric.data}, and the data are {kind}; allowed: {', '.join(allowed)}"
            raise UsageError(f"evaluation.samples.metrics: {message}")
        found.append(metric)
    return found


def known_names(names: Iterable[str]) -> None:
    """UsageError for a name that is not known, or of no metric of samples."""
    for name in names:
        _of_samples(name)


def _of_samples(name: str) -> Metric:
    if name not in metrics or not metrics[name].needs:
        known = [other for other, entry in metrics.items() if entry.needs]
        raise UsageError("evaluation.samples.metrics: " + unknown("metric of samples", name, known))
    found: Metric = metrics[name]
    return found


def usual(is_image: bool, is_given: bool) -> tuple[str, ...]:
    """Names of the usual metrics of samples: those of pairs if each sample is given what it should fit."""
    return (*USUAL["images" if is_image else "points"], *(USUAL["given"] if is_image and is_given else ()))


def metric_of(number: str) -> Metric | None:
    """The metric that gives a number; None where none that is known here does."""
    return next((metric for metric in metrics.values() if metric.facts_of(number)), None)


def facts_of(number: str) -> Facts:
    """The facts of a number in a record; its name alone where no metric that is known here gives it."""
    for name in (number, number.removesuffix(FLOOR)):
        if metric := metric_of(name):
            found = metric.facts_of(name)
            assert found
            return found if name == number else replace(found, title=f"{found.title} floor", direction="")
    return Facts(number, group="")
