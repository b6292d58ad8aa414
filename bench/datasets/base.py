"""What every dataset says of itself, and the maps between pixels and the numbers a model sees.

Points are float32 vectors and pass unchanged. An image is stored as integers k in {0, ..., L-1} (L levels: 256 for
8-bit images) and reaches a model through uniform dequantisation, x = 2 (k + u) / L - 1 with u ~ U[0, 1), which is
a density on [-1, 1]^d. Hence bits/dim = -log p(x) / (d ln 2) + log2(L / 2): 7 added bits for 8-bit images.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import Any

import torch
from torch import Tensor

from bench.datasets.law import Law
from bench.datasets.source import Source, drawn
from bench.datasets.space import Space
from bench.methods.finite import all_finite

SPLITS = ("train", "validation", "test")
BESIDE = ("", "_labels", "_given")  # what a split has, after its name
PROBED = 8  # samples that functions are tried on


@dataclass(frozen=True)
class Dataset:
    """The splits of a data set, with the facts that a measurement must quote; `contract.checked` has its rules.

    Final numbers are measured on `test`; what is looked at in training, or chosen by, on `validation` where there is
    one (`for_tuning`).

    Attributes:
        name: the registered name.
        version: which edition of the data this is; measurements on different versions are never compared.
        train, validation, test: (N, D) float32 points, or (N, C, H, W) uint8 images with values below `levels`;
            validation may be None.
        levels: number of grey levels of an image, None for points.
        log_prob: x of shape (B, D) -> exact log-density in nats, shape (B,), where a closed form exists; where x is
            given something c, it is that of x given c: (x, c) -> (B,).
        law: () -> the law that the points are drawn of, where a closed form exists for that of them with noise, too.
        train_labels, validation_labels, test_labels: int64 classes, where the data has them.
        extractor: name of the feature extractor that image quality is measured with.
        extent: half-width of the square in model space in which 2-D data is drawn.
        stamp: the checksum of train and test, and of labels that these do not decide, where it was computed when the
            data was packed and is too large to read again.
        given: stored samples (B, ...) -> what a model is given of them, images (B, C', H, W) in model space or vectors
            (B, K); set where the task is to draw a sample that fits it.
        train_given, validation_given, test_given: the same where it is no function of the samples, float32 (N, ...)
            beside each split in the place of `given`.
        posterior: (c, rng) -> one exact draw for each row of c, float32 (B, D), where samples are given c and there is
            a way to draw them.
        source: law of x0 in model space (bench/datasets/source.py), None for N(0, I).
        space: map to model space (bench/datasets/space.py), None for that of this module.
        columns: the names of the D dimensions of points, by which they are found in tables of samples made elsewhere.
        held_out: what records call the split in `test`.
        is_joined: whether the rows are samples with what they were given, as in `joined`; each sample that is measured
            was then given what the row of `test` in its place was.
        by_run: whether the seed of a run draws the splits, as part of what varies from seed to seed; records then have
            the checksum beside the version, not in it.
        fixed: whether name, version, train and test decide all the rest, as those of the data sets of this package do.
    """

    name: str
    version: str
    train: Tensor
    test: Tensor
    levels: int | None = None
    train_labels: Tensor | None = None
    test_labels: Tensor | None = None
    log_prob: Callable[..., Tensor] | None = None
    extractor: str | None = None
    extent: float = 4.0
    stamp: str | None = None
    given: Callable[[Tensor], Tensor] | None = None
    train_given: Tensor | None = None
    validation_given: Tensor | None = None
    test_given: Tensor | None = None
    posterior: Callable[[Tensor, torch.Generator], Tensor] | None = None
    validation: Tensor | None = None
    validation_labels: Tensor | None = None
    source: Source | None = None
    space: Space | None = None
    columns: tuple[str, ...] | None = None
    held_out: str = "test"
    is_joined: bool = False
    by_run: bool = False
    law: Callable[[], Law] | None = None
    fixed: bool = field(default=False, init=False)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample in model space: (D,) or (C, H, W)."""
        return self.stored_shape if self.space is None else tuple(self.encode(self.test[:1]).shape[1:])

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape of one stored sample: (D,) or (C, H, W)."""
        return tuple(self.train.shape[1:])

    @property
    def dim(self) -> int:
        """Number of dimensions d of one sample in model space."""
        return prod(self.shape)

    @property
    def is_image(self) -> bool:
        return self.levels is not None

    @property
    def is_plane(self) -> bool:
        """Whether model space is a plane of points, which pictures are drawn of."""
        return self.shape == (2,) and not self.is_image

    @property
    def is_given(self) -> bool:
        """Whether a model is given something that its sample should fit."""
        return self.given is not None or self.test_given is not None

    def given_of(self, split: str, rows: slice, device: str = "cpu") -> Tensor | None:
        """What these samples of a split are given, (B, ...); None if nothing is."""
        if self.given:
            return self.given(getattr(self, split)[rows].to(device))
        stored: Tensor | None = getattr(self, f"{split}_given")
        return None if stored is None else stored[rows].to(device)

    @cached_property
    def joined(self) -> "Dataset":
        """Points joined with what they are given, (N, D + K), as an ordinary set; itself if nothing is, or of images.

        Only pairs show how well a sample fits: metrics of samples and exact densities are of these.
        """
        if self.is_image or not self.is_given:
            return self
        dim, log_prob = self.stored_shape[0], self.log_prob
        changes: dict[str, Any] = {f"{split}_given": None for split in SPLITS}
        for split in SPLITS:
            if (values := getattr(self, split)) is not None:
                given = self.given_of(split, slice(None))
                assert given is not None
                changes[split] = torch.cat([values, given], 1)
        if log_prob is not None:
            changes["log_prob"] = lambda pairs: log_prob(pairs[:, :dim], pairs[:, dim:])
        changes |= dict.fromkeys(("given", "posterior", "space", "source", "columns", "law"))
        return replace(self, is_joined=True, **changes)

    @property
    def keeps_density(self) -> bool:
        """Whether a log-density in model space, plus `log_volume`, is one of the data (dequantised, of images)."""
        return self.space is None or self.space.keeps_density

    @property
    def log_volume(self) -> float:
        """ln |det| of the derivative of `encode`, a constant: log p of the data is log p in model space plus this."""
        return float(getattr(self.space, "log_volume", 0.0))

    @cached_property
    def for_tuning(self) -> "Dataset":
        """What curves are measured on: the same data with validation in the place of test, itself without one."""
        if self.validation is None:
            return self
        changes: dict[str, Any] = {f"test{kind}": getattr(self, f"validation{kind}") for kind in BESIDE}
        changes |= {f"validation{kind}": None for kind in BESIDE}
        return replace(self, held_out="validation", **changes)

    @cached_property
    def classes(self) -> int | None:
        """Number of classes K, which are 0 to K - 1; None without labels."""
        labels: list[Tensor] = [each for split in SPLITS if (each := getattr(self, f"{split}_labels")) is not None]
        return max(int(each.max()) for each in labels) + 1 if labels else None

    @cached_property
    def checksum(self) -> str:
        """16 hexadecimal digits of train and test, and of what lies beside them unless that is `fixed`.

        Labels, validation and what is stored of `given` count by each value. The maps `given` and `space`, and a
        `source`, count by what they make of the first samples, the mean of its magnitude to three digits: more digits
        differ from machine to machine.
        """
        values = self.stamp or digest_of(self.train, self.test)[:16]
        beside = [] if self.fixed else self._beside()
        return hashlib.sha256(" ".join([values, *beside]).encode()).hexdigest()[:16] if beside else values

    def _beside(self) -> list[str]:
        """What lies beside train and test, a text each."""
        names = ["train_labels", "validation", "validation_labels", "test_labels", *(f"{s}_given" for s in SPLITS)]
        found = [f"{name} {digest_of(values)}" for name in names if (values := getattr(self, name)) is not None]
        found += [f"{self.held_out} in the place of test"] if self.held_out != "test" else []  # a stamp is of all
        few, made = self.test[:PROBED], {}
        if self.given:
            made["given"] = self.given(few)
        if self.space is not None:
            made["encoded"] = self.encode(few)
            made["decoded"] = self.decode(made["encoded"])
        if self.source is not None:
            made["x0"] = drawn(self.source, PROBED, torch.Generator().manual_seed(0))
        return found + [f"{name} {tuple(x.shape)} {float(x.double().abs().mean()):.3g}" for name, x in made.items()]

    def fix(self) -> "Dataset":
        """Say that this data is `fixed`, which a copy by `replace` is no more; the data itself."""
        object.__setattr__(self, "fixed", True)
        return self

    def encode(self, stored: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Stored values -> what a model sees: x itself of points, 2 (k + u) / L - 1 of images.

        Without `rng`, u = 1/2 (the centre of the bin).
        """
        if self.space is not None:
            return self.space.encode(stored, rng)
        if self.levels is None:
            return stored
        u = torch.rand(stored.shape, generator=rng, device=stored.device) if rng is not None else 0.5
        return self.scale(stored, u)

    def scale(self, k: Tensor, u: Tensor | float) -> Tensor:
        """2 (k + u) / L - 1, the density's argument for integers k and offsets u in [0, 1) (images only)."""
        assert self.levels is not None
        return (k + u) * (2 / self.levels) - 1

    def decode(self, x: Tensor) -> Tensor:
        """Model space -> what is measured: points themselves, uint8 pixels in {0, ..., 255} of images.

        Raises:
            NotFinite: an image holds NaN or inf, which would become pixels like others.
        """
        if self.space is not None:
            return self.space.decode(x)
        if self.levels is None:
            return x
        all_finite(x, "images")
        levels = ((x + 1) * (self.levels / 2)).floor().clamp(0, self.levels - 1)
        return (levels * (255 / (self.levels - 1))).round().to(torch.uint8)

    def pixels(self, k: Tensor) -> Tensor:
        """Stored integers -> uint8 pixels in {0, ..., 255}: identity for 256 levels."""
        assert self.levels is not None
        if self.levels == 256:
            return k.to(torch.uint8)
        return (k.float() * (255 / (self.levels - 1))).round().to(torch.uint8)


def digest_of(*tensors: Tensor) -> str:
    """SHA-256 of the values of tensors, one after the other."""
    digest = hashlib.sha256()
    for values in tensors:
        digest.update(values.cpu().contiguous().numpy().reshape(-1).data)
    return digest.hexdigest()
