"""What samples made elsewhere are to their readers and to who scores them: an order, a checksum, and batches."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.datasets.base import Dataset
from bench.datasets.contract import LEVELS
from bench.errors import UsageError

DARKEST = 15  # the most that a block of images of 256 levels may have for its highest value, and be refused


class Made(ABC):
    """Samples made elsewhere, to be scored on a dataset.

    Attributes:
        count: how many there are.
        files: how many files they are in.
        copies: how many of those that were read so far are equal to an earlier one.
        notes: what a user should know of them, a sentence each.
    """

    BATCH = 512  # a multiple of the images that an extractor takes at once

    count: int
    files = 1

    def __init__(self, path: Path, dataset: Dataset) -> None:
        self.path, self.dataset = path, dataset
        self.notes: list[str] = []
        self.copies = 0

    @abstractmethod
    def sha256(self, n: int) -> str:
        """Of the content of the files that the first n samples are in."""

    @abstractmethod
    def blocks(self, n: int) -> Iterator[NDArray[Any]]:
        """The first n samples, BATCH at a time, as uint8 (B, C, H, W) or float32 (B, D); UsageError for a bad one."""

    def batches(self, n: int) -> Iterator[tuple[int, Tensor]]:
        """The first n samples from the place of each batch on.

        Raises:
            UsageError: one is not finite or has the wrong size, the first ones are all alike, or their values are not
                those of pixels.
        """
        seen: set[bytes] = set()
        start = self.copies = 0
        for block in self.blocks(n):
            seen |= {hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in block}
            start += len(block)
            self.copies = start - len(seen)
            if start == len(block):
                self._check_first(block, alike=len(seen) == 1)
            if block.dtype != np.uint8 and not (finite := np.isfinite(block).all(1)).all():
                row = start - len(block) + int(np.argmin(finite))
                raise UsageError(f"{self.path}: sample {row} is not finite ({block[np.argmin(finite)]}); leave it out")
            yield start - len(block), torch.from_numpy(block)

    def _check_first(self, block: NDArray[Any], alike: bool) -> None:
        if alike and len(block) > 1:
            raise UsageError(f"{self.path}: the first {len(block)} samples are all alike")
        levels = self.dataset.levels
        if levels is None:
            return
        highest, most = int(block.max()), DARKEST if levels == LEVELS else levels - 1
        if highest <= most:
            advice = f"multiply by {255 / (1 if highest <= 1 else most):g}"
            if levels == LEVELS and highest > 1:
                advice = "were they rounded before they were scaled?"
            raise UsageError(
                f"{self.path}: the highest value of the first {len(block)} images is {highest}; expected pixels of "
                f"0 to 255; {advice}"
            )
