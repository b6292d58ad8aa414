"""How far generated images are from real ones: distances of the features of an extractor, by torch-fidelity.

    FD = |m_1 - m_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2))             Heusel et al. 2017
    KD = MMD^2 with the kernel (x.y / d + 1)^3, unbiased                Binkowski et al. 2018
    precision = share of samples within the third-neighbour ball of a real image; recall = the share of real images
    within that of a sample                                             Kynkaanniemi et al. 2019
    Inception Score = exp(E KL(p(y|x) | p(y)))                          Salimans et al. 2016

m, S are mean and covariance of the features of all samples and of all images of the reference; the others but the
score, which knows no reference, see 10,000 of each at most. With the FID Inception FD and KD are `fid` and `kid`; with
any other extractor `fd_<extractor>` and `kd_<extractor>`, on a scale of their own. FD is biased upwards by about 1/n,
so compare rows of one n, one reference and one extractor only; `floor` says what n real images score.

Fewer real images than a split has are spread evenly over it, image i being its floor(i N / n)-th, since the split of a
plugin may be sorted by class. They are read a batch at a time, and their statistics are computed once and kept in
data_dir/fidelity, in files named by the dataset's name, version and checksum, the split and the number of images, the
extractor with its version, and a digest of the code that makes them.
"""

import math
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.config.names import safe_name
from bench.datasets.base import Dataset
from bench.errors import UsageError
from bench.evaluation.parts import attempt
from bench.metrics.extractors.cache import code_of, kept, write_tensors
from bench.metrics.extractors.catalogue import Network, extractor_for
from bench.metrics.extractors.features import Features
from bench.records.records import Measurement
from bench.training.precision import full_float32

LEAST = 4  # for a covariance, two subsets and three neighbours
KID_SUBSETS, KID_SUBSET_SIZE = 100, 1000  # Binkowski et al.'s and torch-fidelity's
NEIGHBOURS = 3
# What decides the cached files beside their images.
CODE = ("bench.metrics.extractors.features", "bench.metrics.extractors.catalogue")


class Fidelity:
    """What samples of a dataset are compared with: the features of real images.

    Args:
        dataset: images.
        extractor: see bench.metrics.extractors.catalogue.
        data_dir: folder of data sets, weights and cached statistics.
        split: "train" or "test", the reference.
        reference_n: how many of its images, None for all.
        batch: images that go through the extractor at once; values do not depend on it but for rounding.

    Raises:
        UsageError: points, an unknown split or extractor, missing labels or weights, reference_n out of range.
    """

    def __init__(
        self,
        dataset: Dataset,
        extractor: str,
        data_dir: Path,
        device: str = "cpu",
        *,
        split: str = "train",
        reference_n: int | None = None,
        batch: int = 64,
    ) -> None:
        if not dataset.is_image:
            raise UsageError(f"dataset {dataset.name!r} holds points; features are extracted from images only")
        if split not in ("train", "test"):
            raise UsageError(f"split {split!r} is not one of train, test")
        there = len(getattr(dataset, split))
        n = there if reference_n is None else reference_n
        if not LEAST <= n <= there:
            raise UsageError(f"reference_n {n}: at least {LEAST}, and the {split} split has {there} images")
        self.dataset, self.device, self.split, self.batch = dataset, device, split, batch
        self.folder = data_dir / "fidelity"
        self.extractor = extractor_for(extractor, dataset, data_dir)
        self.network = Network(self.extractor, dataset.stored_shape, device)
        self.reference = self._real(split, n)

    def collect(self, n: int) -> Features:
        """Features of n samples to come: `update` it with their pixels and, on several ranks, `merge` it.

        UsageError where n < 4.
        """
        if n < LEAST:
            raise UsageError(f"{n} samples are too few for a covariance and two subsets; {LEAST} are needed")
        return Features(n, self.network, self.reference.mean, self.reference.classes, self.batch)

    def compare(self, features: Features, full: bool = True, reason: str | None = None) -> list[Measurement]:
        """Distances between the samples that went into `features`, all of them, and the reference.

        Args:
            full: without it only the Frechet distance (for validation curves, where the others cost too much).
            reason: why nothing can be said of the samples; then, or where features are not finite, no row has a value.

        Returns:
            fid, kid, precision, recall and, where the weights have a classifier, inception_score, or with another
            extractor fd_<extractor>, kd_<extractor>, precision and recall. n counts the samples behind each and
            `kept` the real images that kid, precision and recall see. The stderr of kid is the standard deviation
            over 100 random subsets, which is the standard error of an estimate from one subset (what papers print
            after the plus-minus) and so more than that of the mean; a subset has 1000 images, or half of the smaller
            set where that is less. That of the score is its standard deviation over 10 splits, as papers print it.
        """
        if not reason and features.count != features.n:
            raise ValueError(f"{int(features.count)} of {features.n} samples went in")
        reason = reason or features.complaint
        measures = [self._frechet]
        if full:
            measures += [self._kernel, self._precision_and_recall, *([self._score] if features.classes else [])]
        rows: list[Measurement] = []
        for measure in measures:
            rows += attempt(partial(measure, features, reason), partial(measure, features))
        return rows

    def floor(self, n: int, reason: str | None = None) -> list[Measurement]:
        """What a perfect model scores on average: `compare` of n real images of the other split, fewer if it has fewer.

        `floor_split` says which it is, test for a reference of train. The names end in _floor. UsageError where there
        are less than 4 images. Without values for a `reason`.
        """
        other = "test" if self.split == "train" else "train"
        n = min(n, len(getattr(self.dataset, other)))
        if n < LEAST:
            raise UsageError(f"a floor of {n} images of the {other} split; {LEAST} are needed")
        rows = self.compare(self.collect(n), reason=reason) if reason else self.compare(self._real(other, n))
        settings = {"floor_split": other}
        return [replace(row, metric=f"{row.metric}_floor", settings=row.settings | settings) for row in rows]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What every value depends on."""
        return {
            "extractor": self.extractor.name,
            "extractor_version": self.extractor.version,
            "layer": self.extractor.layer,
            "split": self.split,
            "reference_n": self.reference.n,
            "quantiser": "floor",  # Dataset.quantise: the level whose bin a sample lies in
        }

    def _real(self, split: str, n: int) -> Features:
        """The features of n images of a split, computed in one process unless they are in the cache."""
        data, by = self.dataset, self.extractor
        of = (data.name, data.version, data.checksum, split, n, by.name, by.version, *by.layers, code_of(*CODE))

        images: Tensor = getattr(data, split)

        def pixels(start: int) -> Tensor:
            index = torch.arange(start, min(start + self.batch, n)) * len(images) // n
            return data.pixels(images[index])

        def compute(path: Path) -> None:
            features, logits = self.network(pixels(0)[:1])  # one image is close enough to all for an origin
            found = Features(n, self.network, features[0], logits.shape[1], self.batch)
            for start in range(0, n, self.batch):
                found.update(pixels(start), start)
            if found.complaint:
                raise UsageError(f"extractor {by.name!r}, {split} split of {data.name!r}: {found.complaint}")
            write_tensors(path, found.state())

        path = kept(self.folder, safe_name("-".join(map(str, of))) + ".pt", compute)
        return Features.load(torch.load(path, weights_only=True), self.network, self.device, self.batch)

    def _frechet(self, features: Features, reason: str | None) -> list[Measurement]:
        from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

        name = self._named("fid", "fd")
        if reason:
            return [Measurement(name, math.nan, None, features.n, None, self.settings, reason)]
        one, two = (
            {"mu": side.mean.cpu().numpy(), "sigma": side.covariance.cpu().numpy()}
            for side in (features, self.reference)
        )
        value = fid_statistics_to_metric(one, two, verbose=False)[KEY_METRIC_FID]
        return [Measurement(name, value, None, features.n, None, self.settings)]

    def _kernel(self, features: Features, reason: str | None) -> list[Measurement]:
        from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

        one, two = features.kept, self.reference.kept
        size = min(KID_SUBSET_SIZE, len(one) // 2, len(two) // 2)
        options = {"kid_subsets": KID_SUBSETS, "kid_subset_size": size}
        settings = self.settings | options | {"kept": len(two)}
        name = self._named("kid", "kd")
        if reason:
            return [Measurement(name, math.nan, None, len(one), None, settings, reason)]
        found = kid_features_to_metric(one, two, verbose=False, **options)
        return [Measurement(name, found[KEY_METRIC_KID_MEAN], found[KEY_METRIC_KID_STD], len(one), None, settings)]

    def _precision_and_recall(self, features: Features, reason: str | None) -> list[Measurement]:
        from torch_fidelity.metric_prc import prc_features_to_metric

        one, two = features.kept, self.reference.kept
        settings = self.settings | {"neighbours": NEIGHBOURS, "kept": len(two)}
        names = ("precision", "recall")
        if reason:
            return [Measurement(name, math.nan, None, len(one), None, settings, reason) for name in names]
        # A thousand rows of the matrix of distances at once: 40 MB where all of it takes 400 and its sort twice that.
        options = {"prc_neighborhood": NEIGHBOURS, "prc_batch_size": 1000, "save_cpu_ram": True}
        with full_float32(self.device):
            found = prc_features_to_metric(one, two, verbose=False, **options)
        return [Measurement(name, found[name], None, len(one), None, settings) for name in names]

    def _score(self, features: Features, reason: str | None) -> list[Measurement]:
        score, spread = (math.nan, None) if reason else features.inception_score()
        settings = self.settings | {"isc_splits": len(features.members)}
        return [Measurement("inception_score", score, spread, features.n, None, settings, reason)]

    def _named(self, inception: str, other: str) -> str:
        return inception if self.extractor.name == "inception" else f"{other}_{self.extractor.name}"
