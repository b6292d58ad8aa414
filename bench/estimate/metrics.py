"""Seconds of the metrics of samples, timed on data in the place of samples; features by a network of random weights."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from bench.config.settings import Samples
from bench.datasets.base import Dataset
from bench.errors import NotApplicable, UsageError
from bench.estimate.stopwatch import grown
from bench.estimate.stopwatch import seconds as timed
from bench.evaluation.collected import Gathered, Pairs
from bench.evaluation.trained import Drawn
from bench.metrics.chosen import chosen
from bench.metrics.extractors.named import extractors
from bench.metrics.metric import Metric
from bench.metrics.w2 import wasserstein2
from bench.training.seeds import generator

IMAGES = 16  # that features are timed on


class OfSamples:
    """Of one dataset on a device; what takes the same samples is timed once, for all cells.

    Attributes:
        untimed: what could not be timed, and why.
    """

    def __init__(self, dataset: Dataset, data_dir: Path, device: str) -> None:
        self.dataset, self.data_dir, self.device = dataset, data_dir, device
        self.untimed: dict[str, str] = {}
        self._known: dict[tuple[object, ...], float] = {}
        self._per_image = cache(self._features)

    def seconds(self, settings: Samples, stage: str, n: int) -> float:
        """Of all metrics of n samples that are drawn for "samples", "sweep" or "curve"."""
        data = self.dataset
        metrics = chosen(settings.metrics, data.is_image, data.is_given)
        taken = [m for m in metrics if stage == "samples" or (m.in_sweep if stage == "sweep" else m.in_curve)]
        found = sum(self._metric(metric, settings, stage, n) for metric in taken if metric.needs != "features")
        if any(metric.needs == "features" for metric in taken):
            found += n * sum(self._per_image(by.name, by.weights) for by in extractors(settings, data))
        return found

    def coupling(self, n: int, noise: Tensor) -> float:
        """Of an exact optimal transport between n points and their noise."""
        points = self.dataset.encode(self.dataset.test[:n])
        return self._once(
            ("coupling", n), lambda: grown(lambda m: wasserstein2(noise[:m].cpu(), points[:m]), n, self.device)
        )

    def _metric(self, metric: Metric, settings: Samples, stage: str, n: int) -> float:
        def collected(m: int) -> Gathered | Pairs:
            return Pairs([metric], data, m) if metric.needs == "pairs" else Gathered(data, settings, m, stage)

        def work(m: int) -> None:
            found = collected(m)
            found.add(Drawn(0, self._like(m), 0.0, 0.0))
            x, reference = found.of(metric)
            found.values(metric, x, reference, data.joined, generator(0, "estimate"))

        data = self.dataset
        count = n if metric.needs == "pairs" else collected(n).count(metric)
        if count < metric.least:
            return 0.0
        try:
            return self._once(
                (metric.name, count), lambda: grown(lambda m: work(max(m, metric.least)), count, self.device)
            )
        except NotApplicable:
            return 0.0

    def _once(self, key: tuple[object, ...], measure: Callable[[], float]) -> float:
        if key not in self._known:
            self._known[key] = measure()
        return self._known[key]

    def _like(self, n: int) -> Tensor:
        """n data in the place of samples."""
        rows = self.dataset.train[torch.arange(n) % len(self.dataset.train)]
        return self.dataset.pixels(rows) if self.dataset.is_image else rows

    def _features(self, name: str, weights: str | None) -> float:
        """Seconds of the features of one image."""
        images = self._like(IMAGES)
        try:
            net = _extractor(name, weights, self.dataset, self.data_dir, self.device)
        except UsageError as error:
            self.untimed[f"features by {name}"] = str(error)
            return 0.0
        return timed(lambda: net(images), self.device) / IMAGES


def _extractor(name: str, weights: str | None, dataset: Dataset, data_dir: Path, device: str) -> Any:
    """pixels -> features, by random weights if the extractor is one of ours, since its own may have to be fetched."""
    from bench.metrics.extractors import catalogue

    catalogue.check(name, dataset, weights)
    if name.endswith("_cnn"):
        from bench.metrics.extractors.classifier import Classifier

        channels, height, width = dataset.stored_shape
        return Classifier(channels, height, width, dataset.classes or 1).eval().to(device).features
    if name != "inception":
        return catalogue.Loaded(catalogue.extractor_for(name, dataset, data_dir, weights), dataset.stored_shape, device)
    from bench.metrics.extractors.inception import Inception, Skeleton

    with TemporaryDirectory() as folder:
        path = Path(folder) / "random.pth"
        torch.save(Skeleton("inception", ["2048"]).state_dict(), path)
        net = Inception("inception", ["2048"], str(path)).eval().to(device)
    return lambda pixels: net(pixels.to(device).expand(-1, 3, -1, -1))
