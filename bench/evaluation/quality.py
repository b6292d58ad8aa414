"""How good samples are, whatever drew them: batches go in as they come, measurements come out at the end.

Points are compared with held-out points by W2. Images are compared with a reference split by the distances of
bench/metrics/extractors/fidelity.py; where an image is drawn to fit what it is given, also with the very image it
should be, by PSNR and SSIM. Samples that are not finite leave measurements without a value, each with the reason. All
ranks must ask for the measurements.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from bench.config.settings import Samples
from bench.datasets.base import Dataset
from bench.evaluation.geometry import wasserstein2
from bench.evaluation.parts import attempt
from bench.evaluation.trained import Drawn
from bench.methods.finite import complaint
from bench.metrics.extractors.fidelity import Fidelity
from bench.records.records import Measurement
from bench.training import ranks


class Quality(ABC):
    """The quality of n samples on their way."""

    @abstractmethod
    def add(self, batch: Drawn) -> None:
        """Take in a batch of this rank."""

    @abstractmethod
    def measured(self, reason: str | None = None) -> list[Measurement]:
        """The measurements of all samples of all ranks, on the main one; all must ask.

        Each that cannot be had has no value and says why. With a `reason` none has: no rank waits for another then.
        """


class PointQuality(Quality):
    """W2 of the first n samples to as many held-out points."""

    def __init__(self, dataset: Dataset, n: int) -> None:
        self.test, self.split = dataset.test[:n], {"split": dataset.held_out}
        self.x = torch.zeros_like(self.test)

    def add(self, batch: Drawn) -> None:
        there = self.x[batch.start : batch.start + len(batch.x)]
        there.copy_(batch.x[: len(there)])

    def measured(self, reason: str | None = None) -> list[Measurement]:
        if not reason:
            ranks.total(self.x)
        return attempt(self._distance, self._lost) if not reason else self._lost(reason)

    def _distance(self) -> list[Measurement]:
        return [Measurement("w2", wasserstein2(self.x, self.test), n=len(self.x), settings=self.split)]

    def _lost(self, reason: str) -> list[Measurement]:
        return [Measurement("w2", math.nan, n=len(self.x), settings=self.split, reason=reason)]


class ImageQuality(Quality):
    """Distances of n images to the reference and, where they are given something, to the images that they should be."""

    def __init__(self, fidelity: Fidelity, n: int, full: bool, dataset: Dataset | None = None) -> None:
        self.fidelity, self.dataset, self.full = fidelity, dataset or fidelity.dataset, full
        self.features = fidelity.collect(n)
        self.pairs = torch.zeros(2, n, dtype=torch.float64) if self.dataset.given else None
        self.lost = torch.zeros((), dtype=torch.float64)

    def add(self, batch: Drawn) -> None:
        self.lost += batch.lost
        self.features.update(batch.x, batch.start)
        if self.pairs is not None:
            from bench.metrics.extractors.similarity import psnr, ssim

            stop = batch.start + len(batch.x)
            targets = self.dataset.pixels(self.dataset.test[batch.start : stop])
            self.pairs[:, batch.start : stop] = torch.stack([psnr(batch.x, targets), ssim(batch.x, targets)])

    def measured(self, reason: str | None = None) -> list[Measurement]:
        pairs = self.pairs
        if not reason:
            self.features.merge()
            reason = complaint(int(ranks.total(self.lost)), self.features.n)
            pairs = None if pairs is None else ranks.total(pairs)
        if not ranks.is_main():
            return []
        rows = self.fidelity.compare(self.features, self.full, reason)
        if pairs is not None:
            from bench.metrics.extractors.similarity import similarity

            rows += similarity(pairs[0], pairs[1], reason)
        return rows


class Judge:
    """Measures samples of a dataset; reference features are made ready once, when they are first needed."""

    def __init__(self, dataset: Dataset, settings: Samples, data_dir: Path, device: str) -> None:
        self.dataset, self.settings, self.data_dir, self.device = dataset, settings, data_dir, device

    def prepare(self) -> None:
        """Make extractor and reference ready, so that what is wrong with them is said before hours of training."""
        if self.dataset.is_image:
            _ = self.fidelity

    def quality(self, n: int, full: bool = True) -> Quality:
        """Of n samples; without `full` only what a validation curve needs. UsageError where it cannot be measured."""
        if not self.dataset.is_image:
            return PointQuality(self.dataset, n)
        return ImageQuality(self.fidelity, n, full, self.dataset)

    @cached_property
    def fidelity(self) -> Fidelity:
        assert self.dataset.extractor is not None
        split, n = self.settings.reference, self.settings.reference_n
        return Fidelity(self.dataset, self.dataset.extractor, self.data_dir, self.device, split=split, reference_n=n)

    @cached_property
    def for_tuning(self) -> "Judge":
        """The judge of curves, whose held-out samples are those of validation where there are any.

        The reference of images is the same.
        """
        judge = Judge(self.dataset.for_tuning, self.settings, self.data_dir, self.device)
        if self.dataset.is_image:
            judge.fidelity = self.fidelity
        return judge

    def floor(self, n: int, reason: str | None = None) -> list[Measurement]:
        """What held-out images score in the place of samples (images alone); without values for a `reason`."""
        return self.fidelity.floor(n, reason) if self.dataset.is_image and ranks.is_main() else []


def quoted(rows: list[Measurement], quote: dict[str, Any]) -> list[Measurement]:
    """The rows with further settings."""
    return [replace(row, settings={**row.settings, **quote}) for row in rows]
