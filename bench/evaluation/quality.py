"""How good samples are, whatever drew them: batches go in as they come, measurements come out at the end.

Which metrics there are is bench/metrics' to say, and which of them are taken the suite's, by
evaluation.samples.metrics. Samples that are not finite leave measurements without a value, each with the reason. All
ranks must ask for the measurements.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from bench.config.settings import Samples
from bench.datasets.base import Dataset
from bench.errors import NOT_APPLICABLE, NotApplicable
from bench.evaluation.collected import Collected, Gathered, OfFeatures, Pairs, compared
from bench.evaluation.lost import reason
from bench.evaluation.parts import Rows, attempt, without
from bench.evaluation.trained import Drawn
from bench.methods.finite import complaint
from bench.methods.rules import rule
from bench.metrics.chosen import chosen
from bench.metrics.extractors.named import extractors
from bench.metrics.extractors.reference import LEAST, Reference
from bench.metrics.metric import Metric
from bench.records.records import Measurement
from bench.training import ranks
from bench.training.seeds import generator

NOTHING: Mapping[str, Any] = {}


class Quality:
    """The quality of n samples on their way: what the metrics need is collected once, however many need it."""

    def __init__(self, judge: "Judge", metrics: Sequence[Metric], n: int, stage: str, quote: Mapping[str, Any]) -> None:
        self.judge, self.metrics, self.n = judge, metrics, n
        self.collected: dict[str, list[Collected]] = {}
        for needs in dict.fromkeys(metric.needs for metric in metrics):
            of = [metric for metric in metrics if metric.needs == needs]
            self.collected[needs] = judge.collections(needs, of, n, stage)
        self.of = [
            (metric, collected, judge.rows(metric, collected, quote))
            for metric in metrics
            for collected in self.collected[metric.needs]
            if judge.takes(metric, collected)
        ]
        self.lost = torch.zeros((), dtype=torch.float64)

    @property
    def rows(self) -> Rows:
        return [row for *_, rows in self.of for row in rows]

    def add(self, drawn: Drawn) -> None:
        self.lost += drawn.lost
        for collected in chain(*self.collected.values()):
            collected.add(drawn)

    def measured(self) -> Rows:
        """The measurements of all ranks' samples, on the main one, each with a value or a reason; all must ask."""
        for collected in chain(*self.collected.values()):
            collected.merge()
        lost = int(ranks.total(self.lost))
        if not ranks.is_main():
            return []
        # A pixel cannot tell that it was no number; a point can.
        if self.judge.dataset.is_image and (why := complaint(lost, self.n)):
            return without(self.rows, why)
        return [row for metric, collected, rows in self.of for row in self.judge.measured(metric, collected, rows)]


class Judge:
    """Measures samples of a dataset; reference features are made ready once, when they are first needed."""

    def __init__(self, dataset: Dataset, settings: Samples, data_dir: Path, device: str, seed: int) -> None:
        self.dataset, self.settings, self.data_dir, self.device = dataset, settings, data_dir, device
        self.seed = seed

    def prepare(self) -> None:
        """Make all that metrics take ready, so that what is wrong with it is said before hours of training."""
        self.quality(LEAST)

    @cached_property
    def metrics(self) -> list[Metric]:
        """Those that the suite names, or the usual ones of such data; UsageError as `chosen` has it."""
        found = chosen(self.settings.metrics, self.dataset.is_image, self.dataset.is_given)
        if self.settings.metrics or not any(metric.of_classifier for metric in found):
            return found
        with_classes = any(reference.features.classes for reference in self.references)
        return [metric for metric in found if not metric.of_classifier or with_classes]

    @property
    def of_features(self) -> list[Metric]:
        return [metric for metric in self.metrics if metric.needs == "features"]

    def quality(self, n: int, stage: str = "samples", quote: Mapping[str, Any] = NOTHING) -> Quality:
        """Of n samples drawn for "samples", "sweep" or "curve"; every measurement has the settings `quote`, too."""
        return Quality(self, self.taken(stage), n, stage, quote)

    def taken(self, stage: str) -> list[Metric]:
        """The metrics of samples that are drawn for a stage."""
        return [m for m in self.metrics if stage == "samples" or (m.in_sweep if stage == "sweep" else m.in_curve)]

    def again(self, seed: int) -> "Judge":
        """The same with other random numbers; what is ready is shared."""
        found = copy(self)
        found.seed = seed
        return found

    @property
    def reference_split(self) -> str:
        """The split that samples are compared with."""
        return compared(self.dataset, self.settings)

    def collections(self, needs: str, metrics: Sequence[Metric], n: int, stage: str) -> list[Collected]:
        """What metrics of one kind need of n samples: of features one per extractor."""
        if needs == "features":
            return [OfFeatures(reference.collect(n), reference) for reference in self.references]
        if needs == "pairs":
            return [Pairs(metrics, self.dataset, n)]
        return [Gathered(self.dataset, self.settings, n, stage)]

    def takes(self, metric: Metric, collected: Collected) -> bool:
        """Whether there are rows of it: one of a classifier is no usual metric of features without one."""
        if self.settings.metrics or not (metric.of_classifier and isinstance(collected, OfFeatures)):
            return True
        return collected.reference.features.classes > 0

    @cached_property
    def references(self) -> list[Reference]:
        """One per extractor."""
        options: dict[str, Any] = {"split": self.settings.reference, "n": self.settings.reference_n}
        return [
            Reference(self.dataset, by.name, self.data_dir, self.device, weights=by.weights, **options)
            for by in extractors(self.settings, self.dataset)
        ]

    @cached_property
    def for_tuning(self) -> "Judge":
        """The judge of curves: validation is in the place of test where there is one, in every reference, too."""
        judge = Judge(self.dataset.for_tuning, self.settings, self.data_dir, self.device, self.seed)
        if self.of_features:
            same = self.settings.reference == "train" or judge.dataset is self.dataset
            judge.references = self.references if same else [by.on(judge.dataset) for by in self.references]
        return judge

    def rows(self, metric: Metric, collected: Collected, quote: Mapping[str, Any] = NOTHING) -> Rows:
        """Those of a metric before it is measured, which have a reason already if its settings are not applicable."""
        n, why = collected.count(metric), None
        names = metric.numbers(collected.extractor, collected.extractor in ("", self.dataset.extractor))
        own: Mapping[str, Any] = NOTHING
        if n < metric.least:
            why = f"{NOT_APPLICABLE}: {n:,} samples, and {metric.name} needs {metric.least:,}"
        with rule(f"metric {metric.name!r}: settings(x, reference)"):
            try:
                own = NOTHING if why else metric.settings(*collected.of(metric))
            except NotApplicable as error:
                why = reason(error)
            settings = {**collected.settings(metric), **own, **quote}
            return [Measurement(name, n=n, settings=settings, reason=why) for name in names]

    def measured(self, metric: Metric, collected: Collected, rows: Rows) -> Rows:
        """These rows with their values."""
        x, reference = collected.of(metric)
        if why := rows[0].reason or collected.complaint(x):
            return without(rows, why)

        def make() -> Rows:
            rng = generator(self.seed, f"metric-{metric.name}")
            found = collected.values(metric, x, reference, self.dataset.joined, rng)
            values = found if len(rows) > 1 else (found,)
            pairs = [value if isinstance(value, tuple) else (value, None) for value in values]
            return [
                replace(row, value=float(value), stderr=stderr if stderr is None else float(stderr))
                for row, (value, stderr) in zip(rows, pairs, strict=True)
            ]

        return attempt(rows, make)
