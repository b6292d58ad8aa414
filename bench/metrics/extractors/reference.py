"""What generated images are compared with: the features of real images.

Fewer real images than a split has are spread evenly over it, image i being its floor(i N / n)-th, since the split of a
plugin may be sorted by class. They are read a batch at a time, and their statistics are computed once and kept in
data_dir/fidelity, in files named by the dataset's name, version and checksum, the split and the number of images, the
extractor with its version, and a digest of the code that makes them.
"""

from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.config.names import safe_name
from bench.datasets.base import Dataset
from bench.datasets.order import evenly
from bench.errors import UsageError
from bench.metrics.extractors.cache import code_of, kept, write_tensors
from bench.metrics.extractors.catalogue import Loaded, extractor_for
from bench.metrics.extractors.features import Features

LEAST = 4  # for a covariance, two subsets and three neighbours
# What decides the cached files beside their images.
CODE = ("bench.metrics.extractors.features", "bench.metrics.extractors.catalogue")


class Reference:
    """The features of n images (None: all) of a split, "train" or "test", and the extractor of theirs and of samples.

    `weights` is the file of an extractor that has none by itself.

    UsageError for points, an unknown split or extractor, missing labels or weights, n out of range.
    """

    def __init__(
        self,
        dataset: Dataset,
        extractor: str,
        data_dir: Path,
        device: str = "cpu",
        *,
        split: str = "train",
        n: int | None = None,
        batch: int = 64,
        weights: str | None = None,
    ) -> None:
        if not dataset.is_image:
            raise UsageError(f"dataset {dataset.name!r} holds points; features are extracted from images only")
        if split not in ("train", "test"):
            raise UsageError(f"split {split!r} is not one of train, test")
        self.dataset, self.device, self.split, self.batch = dataset, device, split, batch
        n = self._fits(len(getattr(dataset, split)) if n is None else n)
        self.folder = data_dir / "fidelity"
        self.parts: dict[tuple[str, int, int, int], Features] = {}  # of a split, n images, part i of m
        self.extractor = extractor_for(extractor, dataset, data_dir, weights)
        self.network = Loaded(self.extractor, dataset.stored_shape, device)
        self.features = self.real(split, n)

    def _fits(self, n: int) -> int:
        most = len(getattr(self.dataset, self.split))
        if not LEAST <= n <= most:
            has = f"the {self.name_of(self.split)} split has {most} images"
            raise UsageError(f"reference_n {n}: at least {LEAST}, and {has}")
        return n

    def on(self, dataset: Dataset) -> "Reference":
        """The same of another split in the place of this one, by the same extractor; at most as many images."""
        found = copy(self)
        found.__dict__.pop("settings", None)
        found.dataset, found.parts = dataset, {}
        n = found._fits(min(self.features.n, len(getattr(dataset, self.split))))
        found.features = found.real(self.split, n)
        return found

    def collect(self, n: int) -> Features:
        """Features of n samples to come, to `update` with their pixels and to `merge`; UsageError if n < 4."""
        if n < LEAST:
            raise UsageError(f"{n} samples are too few for a covariance and two subsets; {LEAST} are needed")
        return Features(n, self.network, self.features.mean, self.features.classes, self.batch)

    @cached_property
    def settings(self) -> dict[str, Any]:
        return {
            "extractor": self.extractor.name,
            "extractor_version": self.extractor.version,
            "layer": self.extractor.layer,
            "split": self.name_of(self.split),
            "reference_n": self.features.n,
            "quantiser": "floor",  # Dataset.decode: the level whose bin a sample lies in
        }

    def name_of(self, split: str) -> str:
        """What records call a split: "validation" where that is in the place of test."""
        return self.dataset.held_out if split == "test" else split

    def real(self, split: str, n: int, part: int = 0, parts: int = 1) -> Features:
        """The features of n images of a split, computed in one process unless they are in the cache.

        They are a part of `parts` that share no image. One of several is in memory alone, until `parts` is cleared.
        """
        data, by, where = self.dataset, self.extractor, self.name_of(split)
        if parts > 1:
            key = (split, n, part, parts)
            if key not in self.parts:
                self.parts[key] = self._extracted(split, n, part, parts)
            return self.parts[key]
        of = (data.name, data.version, data.checksum, where, n, by.name, by.version, *by.layers, code_of(*CODE))

        def compute(path: Path) -> None:
            write_tensors(path, self._extracted(split, n).state())

        path = kept(self.folder, safe_name("-".join(map(str, of))) + ".pt", compute)
        return Features.load(torch.load(path, weights_only=True), self.network, self.device, self.batch)

    def _extracted(self, split: str, n: int, part: int = 0, parts: int = 1) -> Features:
        images: Tensor = getattr(self.dataset, split)
        index = evenly(n, len(images), part, parts)

        def pixels(start: int) -> Tensor:
            return self.dataset.pixels(images[index[start : start + self.batch]])

        features, logits = self.network(pixels(0)[:1])  # one image is close enough to all for an origin
        found = Features(n, self.network, features[0], logits.shape[1], self.batch)
        for start in range(0, n, self.batch):
            found.update(pixels(start), start)
        if found.complaint:
            where = f"{self.name_of(split)} split of {self.dataset.name!r}"
            raise UsageError(f"extractor {self.extractor.name!r}, {where}: {found.complaint}")
        return found
