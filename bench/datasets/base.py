"""What every dataset says of itself, and the maps between pixels and the numbers a model sees.

Points are float32 vectors and pass unchanged. An image is stored as integers k in {0, ..., L-1} (L levels: 256 for
8-bit images) and reaches a model through uniform dequantisation, x = 2 (k + u) / L - 1 with u ~ U[0, 1), which is
a density on [-1, 1]^d. Hence bits/dim = -log p(x) / (d ln 2) + log2(L / 2): 7 added bits for 8-bit images.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from bench.errors import UsageError
from bench.methods.finite import require


@dataclass(frozen=True)
class Dataset:
    """Train and test tensors with the facts that a measurement must quote.

    Attributes:
        name: the registered name.
        version: which edition of the data this is; measurements on different versions are never compared.
        train, test: (N, D) float32 points, or (N, C, H, W) uint8 images with values below `levels`.
        levels: number of grey levels of an image, None for points.
        log_prob: x of shape (B, D) -> exact log-density in nats, shape (B,), where a closed form exists.
        entropy: exact differential entropy in nats (the floor of the NLL), where a closed form exists.
        train_labels, test_labels: int64 classes, where the data has them; what the small extractors are trained on.
        extractor: name of the feature extractor that image quality is measured with.
        extent: half-width of the square in which 2-D data is drawn.
        stamp: `checksum`, where it was computed when the data was packed and is too large to read again.
        given: stored samples (B, ...) -> what a model is given of them, images (B, C', H, W) in model space or vectors
            (B, K); set where the task is to draw a sample that fits it.

    Raises:
        UsageError: a value of a split is not finite.
    """

    name: str
    version: str
    train: Tensor
    test: Tensor
    levels: int | None = None
    train_labels: Tensor | None = None
    test_labels: Tensor | None = None
    log_prob: Callable[[Tensor], Tensor] | None = None
    entropy: float | None = None
    extractor: str | None = None
    extent: float = 4.0
    stamp: str | None = None
    given: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        """Refuse values that are not finite, of which a metric would make nonsense; `contract` has the other rules."""
        for split in ("train", "test"):
            values: object = getattr(self, split)
            if not isinstance(values, Tensor) or not values.is_floating_point() or torch.isfinite(values).all():
                continue
            row, *place = (~torch.isfinite(values)).nonzero()[0].tolist()
            lost = int((~torch.isfinite(values)).sum())
            raise UsageError(
                f"dataset {self.name!r}, {split} split: row {row}, column {', '.join(map(str, place))} is "
                f"{float(values[row, *place])}, as {lost} of {values.numel()} values are not finite; leave them out"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample: (D,) or (C, H, W)."""
        return tuple(self.train.shape[1:])

    @property
    def dim(self) -> int:
        """Number of dimensions d of one sample."""
        return self.train[0].numel()

    @property
    def is_image(self) -> bool:
        return self.levels is not None

    @cached_property
    def classes(self) -> int | None:
        """Number of classes K, which are 0 to K - 1; None without labels."""
        labels = [each for each in (self.train_labels, self.test_labels) if each is not None]
        return max(int(each.max()) for each in labels) + 1 if labels else None

    @cached_property
    def checksum(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of train and test, in that order."""
        if self.stamp:
            return self.stamp
        digest = hashlib.sha256()
        for split in (self.train, self.test):
            digest.update(split.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def dequantise(self, x: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Stored values -> what a model sees: x itself for points, 2 (k + u) / L - 1 for images.

        Without `rng`, u = 1/2 (the centre of the bin).
        """
        if self.levels is None:
            return x
        u = torch.rand(x.shape, generator=rng, device=x.device) if rng is not None else 0.5
        return self.scale(x, u)

    def scale(self, k: Tensor, u: Tensor | float) -> Tensor:
        """2 (k + u) / L - 1, the density's argument for integers k and offsets u in [0, 1) (images only)."""
        assert self.levels is not None
        return (k + u) * (2 / self.levels) - 1

    def quantise(self, x: Tensor) -> Tensor:
        """Model space -> uint8 pixels in {0, ..., 255}, the inverse of `dequantise` up to u (images only).

        Raises:
            NotFinite: an image holds NaN or inf, which would become pixels like others.
        """
        assert self.levels is not None
        require(x, "images")
        levels = ((x + 1) * (self.levels / 2)).floor().clamp(0, self.levels - 1)
        return (levels * (255 / (self.levels - 1))).round().to(torch.uint8)

    def pixels(self, k: Tensor) -> Tensor:
        """Stored integers -> uint8 pixels in {0, ..., 255}: identity for 256 levels."""
        assert self.levels is not None
        if self.levels == 256:
            return k.to(torch.uint8)
        return (k.float() * (255 / (self.levels - 1))).round().to(torch.uint8)
