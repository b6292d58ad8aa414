"""How good samples are, whatever drew them: batches go in as they come, measurements come out at the end.

Which metrics there are is bench/metrics' to say, and which of them are taken the suite's, by
evaluation.samples.metrics. Samples that are not finite leave measurements without a value, each with the reason. All
ranks must ask for the measurements.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from bench.config.settings import Samples
from bench.datasets.base import Dataset
from bench.evaluation.collected import Collected, Gathered, OfFeatures, Pairs
from bench.evaluation.parts import attempt
from bench.evaluation.trained import Drawn
from bench.methods.finite import complaint
from bench.metrics.extractors.reference import Reference
from bench.metrics.metric import FLOOR, Metric, chosen
from bench.records.records import Measurement
from bench.training import ranks
from bench.training.seeds import generator


class Quality:
    """The quality of n samples on their way: what the metrics need is collected once, however many need it."""

    def __init__(self, judge: "Judge", metrics: Sequence[Metric], n: int, stage: str) -> None:
        self.judge, self.metrics, self.n = judge, metrics, n
        self.collected: dict[str, Collected] = {}
        for needs in dict.fromkeys(metric.needs for metric in metrics):
            of = [metric for metric in metrics if metric.needs == needs]
            self.collected[needs] = judge.collection(needs, of, n, stage)
        self.lost = torch.zeros((), dtype=torch.float64)

    def add(self, drawn: Drawn) -> None:
        """Take in a batch of this rank."""
        self.lost += drawn.lost
        for collected in self.collected.values():
            collected.add(drawn)

    def measured(self, reason: str | None = None) -> list[Measurement]:
        """The measurements of all samples of all ranks, on the main one; all must ask.

        Each that cannot be had has no value and says why. With a `reason` none has: no rank waits for another then.
        """
        if not reason:
            for collected in self.collected.values():
                collected.merge()
            lost = int(ranks.total(self.lost))
            # A pixel cannot tell that it was no number; a point can.
            reason = complaint(lost, self.n) if self.judge.dataset.is_image else None
        if not ranks.is_main():
            return []
        return [row for metric in self.metrics for row in self.judge.rows(metric, self.collected[metric.needs], reason)]


class Judge:
    """Measures samples of a dataset; reference features are made ready once, when they are first needed."""

    def __init__(self, dataset: Dataset, settings: Samples, data_dir: Path, device: str, seed: int) -> None:
        self.dataset, self.settings, self.data_dir, self.device = dataset, settings, data_dir, device
        self.seed = seed

    def prepare(self) -> None:
        """Make extractor and reference ready, so that what is wrong with them is said before hours of training."""
        if self.of_features:
            _ = self.reference

    @cached_property
    def metrics(self) -> list[Metric]:
        """Those that the suite names, or the usual ones of such data.

        Raises:
            UsageError: a name is not known, or its metric is for other data.
        """
        found = chosen(self.settings.metrics, self.dataset.is_image, self.dataset.given is not None)
        if self.settings.metrics or not any(metric.of_classifier for metric in found):
            return found
        return [metric for metric in found if not metric.of_classifier or self.reference.features.classes]

    @property
    def of_features(self) -> list[Metric]:
        """Those of them that are measured of features."""
        return [metric for metric in self.metrics if metric.needs == "features"]

    def quality(self, n: int, stage: str = "samples") -> Quality:
        """Of n samples drawn for a stage, "samples", "sweep" or "curve". UsageError if it cannot be measured."""
        taken = [m for m in self.metrics if stage == "samples" or (m.in_sweep if stage == "sweep" else m.in_curve)]
        return Quality(self, taken, n, stage)

    def collection(self, needs: str, metrics: Sequence[Metric], n: int, stage: str) -> Collected:
        """Where samples are collected for metrics with the same needs."""
        if needs == "features":
            return OfFeatures(self.reference.collect(n), self.reference)
        if needs == "pairs":
            return Pairs(metrics, self.dataset, n)
        return Gathered(metrics, self.dataset, self.settings, n, stage)

    @cached_property
    def reference(self) -> Reference:
        assert self.dataset.extractor is not None
        split, n = self.settings.reference, self.settings.reference_n
        return Reference(self.dataset, self.dataset.extractor, self.data_dir, self.device, split=split, n=n)

    @cached_property
    def for_tuning(self) -> "Judge":
        """The judge of curves: validation is in the place of test where there is one, in every reference, too."""
        judge = Judge(self.dataset.for_tuning, self.settings, self.data_dir, self.device, self.seed)
        if self.of_features:
            same = self.settings.reference == "train" or judge.dataset is self.dataset
            judge.reference = self.reference if same else self.reference.on(judge.dataset)
        return judge

    def rows(self, metric: Metric, collected: Collected, reason: str | None = None) -> list[Measurement]:
        """The measurements of a metric, without values for a reason."""
        x, reference = collected.of(metric)
        settings = {**collected.settings(metric), **metric.settings(x, reference)}
        names, n = metric.numbers(collected.extractor), collected.count(metric)

        def blank(why: str) -> list[Measurement]:
            return [Measurement(name, math.nan, None, n, None, settings, why) for name in names]

        def measured() -> list[Measurement]:
            rng = generator(self.seed, f"metric-{metric.name}")
            found = collected.values(metric, x, reference, self.dataset, rng)
            values = found if len(names) > 1 else (found,)
            pairs = [value if isinstance(value, tuple) else (value, None) for value in values]
            return [
                Measurement(name, float(value), stderr if stderr is None else float(stderr), n, None, settings)
                for name, (value, stderr) in zip(names, pairs, strict=True)
            ]

        reason = reason or collected.complaint(x)
        return blank(reason) if reason else attempt(measured, blank)

    def floor(self, n: int, reason: str | None = None) -> list[Measurement]:
        """What n held-out images score in the place of samples, fewer if there are fewer: what a perfect model would.

        `floor_split` says where they are from, test for a reference of train. The names end in _floor. Without values
        for a `reason`.
        """
        if not self.of_features or not ranks.is_main():
            return []
        split, n = self.reference.held_out(n)
        features = self.reference.collect(n) if reason else self.reference.real(split, n)
        collected = OfFeatures(features, self.reference)
        rows = [row for metric in self.of_features for row in self.rows(metric, collected, reason)]
        own = {"floor_split": split}
        return [replace(row, metric=f"{row.metric}{FLOOR}", settings=row.settings | own) for row in rows]


def quoted(rows: list[Measurement], quote: dict[str, Any]) -> list[Measurement]:
    """The rows with further settings."""
    return [replace(row, settings={**row.settings, **quote}) for row in rows]
