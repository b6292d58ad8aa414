"""What metrics of samples need, collected batch by batch on every rank and merged once."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import Any

import torch
from torch import Tensor

from bench.config.settings import Samples
from bench.datasets.base import Dataset
from bench.datasets.order import evenly
from bench.errors import NotApplicable
from bench.evaluation.trained import Drawn
from bench.methods.finite import complaint, lost
from bench.metrics.extractors.features import Features
from bench.metrics.extractors.reference import Reference
from bench.metrics.metric import Metric
from bench.training import ranks
from bench.training.seeds import generator

POSTERIOR = "posterior"  # in the place of a split: exact draws for the conditions of the test split


class Collected(ABC):
    """What metrics of one kind need of n samples, by default rows of zeros that each are written once."""

    extractor = ""
    x: Tensor

    @abstractmethod
    def add(self, drawn: Drawn) -> None:
        """Take in a batch of this rank."""

    def merge(self) -> None:
        """Add the shares of all ranks, once; all must ask."""
        ranks.total(self.x)

    @abstractmethod
    def of(self, metric: Metric) -> tuple[Any, Any]:
        """What the metric is measured of: x and reference."""

    def count(self, metric: Metric) -> int:
        """How many samples are behind the metric's numbers."""
        return len(self.of(metric)[0])

    def needed(self, metric: Metric) -> int:
        """How many samples take part in them."""
        return self.count(metric)

    def fresh(self, split: str, n: int, part: int, parts: int) -> "Collected":
        """The same of real data in the place of samples: n rows of a split, a part of `parts` that share no row."""
        raise NotImplementedError

    def settings(self, metric: Metric) -> dict[str, Any]:
        return {}

    def complaint(self, x: Any) -> str | None:
        """Why nothing can be measured of it; None if it can."""
        return None

    def values(self, metric: Metric, x: Any, reference: Any, dataset: Dataset, rng: torch.Generator) -> Any:
        assert metric.measure
        return metric.measure(x, reference, dataset, rng)


def compared(dataset: Dataset, config: Samples) -> str:
    """The split that samples are compared with."""
    return config.reference if dataset.is_image else "test"


class Gathered(Collected):
    """All samples, and as many held-out ones; points that are given something are joined with it (`Dataset.joined`)."""

    def __init__(self, dataset: Dataset, config: Samples, n: int, stage: str) -> None:
        self.joined, self.posterior = dataset.joined is not dataset, dataset.posterior
        self.dataset, self.config, self.stage = dataset.joined, config, stage
        self.split, self.dim = compared(dataset, config), dataset.stored_shape[0]
        dtype = torch.uint8 if dataset.is_image else dataset.test.dtype
        self.x = torch.zeros(n, *self.dataset.test.shape[1:], dtype=dtype)

    def add(self, drawn: Drawn) -> None:
        x, rows = drawn.x.cpu(), slice(drawn.start, drawn.start + len(drawn.x))
        self.x[rows] = torch.cat([x, self._given(rows)], 1) if self.joined else x

    def _given(self, rows: slice) -> Tensor:
        return self.dataset.test[rows, self.dim :]

    def count(self, metric: Metric) -> int:
        if not metric.limit:
            return len(self.x)
        most = len(self.x)
        if isinstance(metric.limit, int):
            most = self.config.limits.get(metric.name, metric.limit)
        elif self.stage == "samples":
            most = getattr(self.config, metric.limit)
        return min(len(getattr(self.dataset, self.split)), len(self.x), most)

    def of(self, metric: Metric) -> tuple[Tensor, Tensor]:
        data, x = getattr(self.dataset, self.split), self.x[: self.count(metric)]
        if not self.dataset.is_image:
            return x, data[: len(x)]
        return x, self.dataset.pixels(data[evenly(self._references(metric), len(data))])

    def fresh(self, split: str, n: int, part: int, parts: int) -> "Gathered":
        found = copy(self)
        if split == POSTERIOR:
            assert self.posterior
            given = self._given(slice(n))
            found.x = torch.cat([self.posterior(given, generator(0, "floor-posterior", part)), given], 1)
            return found
        data = getattr(self.dataset, split)
        rows = data[evenly(n, len(data), part, parts)]
        found.x = self.dataset.pixels(rows) if self.dataset.is_image else rows
        return found

    def settings(self, metric: Metric) -> dict[str, Any]:
        given = {"joined": "given"} if self.joined else {}
        if metric.of_train:  # whatever its reference is
            return {"split": f"train and {self.dataset.held_out}", **given}
        own = {"reference_n": self._references(metric)} if self.dataset.is_image else {}
        return {"split": self.dataset.held_out if self.split == "test" else self.split, **own, **given}

    def _references(self, metric: Metric) -> int:
        held = len(getattr(self.dataset, self.split))
        return min(self.count(metric), self.config.reference_n or held, held)

    def complaint(self, x: Tensor) -> str | None:
        return complaint(lost(x), len(x))


class OfFeatures(Collected):
    """The features of samples, beside those of real images."""

    def __init__(self, features: Features, reference: Reference) -> None:
        self.features, self.reference = features, reference
        self.extractor = reference.extractor.name

    def add(self, drawn: Drawn) -> None:
        self.features.update(drawn.x, drawn.start)

    def merge(self) -> None:
        self.features.merge()

    def of(self, metric: Metric) -> tuple[Features, Features]:
        return self.features, self.reference.features

    def count(self, metric: Metric) -> int:
        return len(self.features.kept) if metric.of_kept else self.features.n

    def needed(self, metric: Metric) -> int:
        return self.features.n

    def fresh(self, split: str, n: int, part: int, parts: int) -> "OfFeatures":
        return OfFeatures(self.reference.real(split, n, part, parts), self.reference)

    def settings(self, metric: Metric) -> dict[str, Any]:
        kept = {"kept": len(self.reference.features.kept)} if metric.of_kept else {}
        return {**self.reference.settings, **kept}

    def complaint(self, x: Features) -> str | None:
        if x.count != x.n:
            raise ValueError(f"{int(x.count)} of {x.n} samples went in")
        return x.complaint


class Pairs(Collected):
    """The values of every image beside the one that it should be, one row a metric."""

    def __init__(self, metrics: Sequence[Metric], dataset: Dataset, n: int) -> None:
        self.metrics, self.dataset = list(metrics), dataset
        self.x = torch.zeros(len(self.metrics), n, dtype=torch.float64)
        self.refused: dict[str, str] = {}
        if not dataset.is_given:
            self.refused = dict.fromkeys((m.name for m in metrics), "no image is drawn to fit what it is given")

    def add(self, drawn: Drawn) -> None:
        rows = slice(drawn.start, drawn.start + len(drawn.x))
        targets = self.dataset.pixels(self.dataset.test[rows]) if self.dataset.is_given else None
        for i, metric in enumerate(self.metrics):
            if metric.name not in self.refused:
                assert metric.measure
                try:
                    self.x[i, rows] = metric.measure(drawn.x, targets, self.dataset, None)
                except NotApplicable as reason:
                    self.refused[metric.name] = str(reason)

    def of(self, metric: Metric) -> tuple[Tensor, None]:
        return self.x[self.metrics.index(metric)], None

    def values(self, metric: Metric, x: Tensor, reference: Any, dataset: Dataset, rng: torch.Generator) -> Any:
        if metric.name in self.refused:
            raise NotApplicable(self.refused[metric.name])
        return float(x.mean()), float(x.std()) / math.sqrt(len(x)) if len(x) > 1 else None
