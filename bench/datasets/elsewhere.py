"""Samples made elsewhere, read in batches: a folder of images, an array in .npz or .npy, or a table of points.

The files of a folder count in the order of their names. The images of an array are uint8, (N, H, W, C) or
(N, C, H, W); which of the two is told by the shape of the data. Nothing is converted: an image that is rescaled or
quantised anew scores otherwise, so a wrong size, range or number of channels is refused.
"""

import hashlib
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.datasets.arrays import Stored, stored
from bench.datasets.base import Dataset
from bench.datasets.decoding import SUFFIXES, decoded
from bench.datasets.made import Made
from bench.errors import UsageError

GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F")  # Pillow's modes of one channel
LOSSY = (".jpeg", ".jpg", ".webp")
SPREAD = 16  # numbers made for a range of width 2 stay below it, clipped or not


class Folder(Made):
    """The image files in a folder, which are read by as many threads as there are cores."""

    def __init__(self, path: Path, dataset: Dataset) -> None:
        super().__init__(path, dataset)
        if not dataset.is_image or dataset.stored_shape[0] not in (1, 3):
            found = "points" if not dataset.is_image else f"images of {dataset.stored_shape[0]} channels"
            raise UsageError(f"{path}: a folder; {dataset.name} has {found}; expected an array in .npz or .npy")
        with os.scandir(path) as entries:
            names = {entry.name: entry.is_dir() for entry in entries if entry.name[0] != "."}
        self.names = sorted(n for n, is_dir in names.items() if not is_dir and n.lower().endswith(SUFFIXES))
        if not self.names:
            below = ", or the folder below that holds them" if any(names.values()) else ""
            raise UsageError(f"{path}: no images in it; expected {', '.join(SUFFIXES)} files{below}")
        self.count = self.files = len(self.names)
        if others := len(names) - self.count:
            self.notes.append(f"{others} of {len(names)} entries of {path} are no images, and count for nothing")
        if lossy := sum(name.lower().endswith(LOSSY) for name in self.names):
            self.notes.append(f"{lossy} of {self.count} files are lossy ({', '.join(LOSSY)}), which changes distances")

    def sha256(self, n: int) -> str:
        digest = hashlib.sha256()
        for name in self.names[:n]:
            with (self.path / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def blocks(self, n: int) -> Iterator[NDArray[Any]]:
        # warnings of odd metadata would refuse an image under -W error
        with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, n, self.BATCH):
                yield np.stack(list(pool.map(self._read, self.names[start : min(start + self.BATCH, n)])))

    def _read(self, name: str) -> NDArray[np.uint8]:
        from PIL import Image

        path, (channels, height, width) = self.path / name, self.dataset.stored_shape
        image = decoded(path)
        if image.size != (width, height):
            wide, high = image.size
            raise UsageError(f"{path}: {wide} x {high} pixels; {self.dataset.name} has {width} x {height}")
        pixels = np.asarray(image).transpose(2, 0, 1)
        if channels == 1 and not (pixels == pixels[:1]).all():
            raise UsageError(f'{path}: in colour; {self.dataset.name} has 1 channel; save it as .convert("L")')
        if channels == 3:
            with Image.open(path) as file:
                if file.mode in GREY:
                    words = f"grey (mode {file.mode}); {self.dataset.name} has 3 channels"
                    raise UsageError(f'{path}: {words}; save it as .convert("RGB")')
        return pixels[:channels]


class Array(Made):
    """An array in a file."""

    def __init__(self, path: Path, dataset: Dataset) -> None:
        super().__init__(path, dataset)
        self.stored = stored(path, dataset.columns)
        if unused := self.stored.unused:
            self.notes.append(f"columns of {path} that count for nothing: {', '.join(unused)}")
        self.count = self.stored.shape[0] if self.stored.shape else 0
        self.axes = _axes_of(self.stored, dataset) if dataset.is_image else None
        if not dataset.is_image:
            _check_points(self.stored, dataset)
        if not self.count:
            raise UsageError(f"{path}: no samples in it (shape {self.stored.shape})")

    def sha256(self, n: int) -> str:
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def blocks(self, n: int) -> Iterator[NDArray[Any]]:
        for block in self.stored.blocks(n, self.BATCH):
            if self.axes is None:
                with np.errstate(over="ignore"):  # what is too large for it is infinite, and refused
                    yield np.array(block, dtype=np.float32)
            else:
                # a copy: torch warns of what cannot be written, and chooses its kernels by strides
                yield np.array(block.transpose(self.axes), order="C").reshape(-1, *self.dataset.stored_shape)


def opened(path: Path, dataset: Dataset) -> Made:
    """The samples at a path; UsageError for what can be no samples of such data."""
    if path.is_dir():
        return Folder(path, dataset)
    if not path.is_file():
        raise UsageError(f"{path}: no such folder or file")
    return Array(path, dataset)


def _axes_of(found: Stored, dataset: Dataset) -> tuple[int, ...]:
    """The order of axes by which stored images are (B, C, H, W)."""
    channels, height, width = dataset.stored_shape
    if found.dtype != np.uint8:
        raise UsageError(f"{found.path}: values of {found.dtype}; expected uint8 pixels{_advice(found)}")
    layouts: dict[tuple[int, ...], tuple[int, ...]] = {(height, width, channels): (0, 3, 1, 2)}
    layouts[channels, height, width] = (0, 1, 2, 3)
    if channels == 1:
        layouts[height, width] = (0, 1, 2)
    if channels == height == width > 1:
        raise UsageError(
            f"{found.path}: shape {found.shape}: channels may be first or last; save them as a folder of PNG"
        )
    if found.shape[1:] not in layouts:
        expected = " or ".join(str(("N", *shape)).replace("'", "") for shape in layouts)
        raise UsageError(f"{found.path}: shape {found.shape}; {dataset.name} needs {expected}")
    return layouts[found.shape[1:]]


def _advice(found: Stored) -> str:
    """How to make pixels of numbers, as of a trained model's samples: the level whose bin a number lies in."""
    if found.dtype.kind not in "fiu" or not found.shape or not found.shape[0]:
        return ""
    first = next(found.blocks(min(found.shape[0], Made.BATCH), Made.BATCH))
    low, high = float(first.min()), float(first.max())
    if found.dtype.kind in "iu" or high > SPREAD:
        return f", and these are {low:g} to {high:g}: x.round().clip(0, 255).astype('uint8')"
    x = "(x + 1) * 128" if low < -0.05 else "x * 256"
    return f", and these are {low:.2g} to {high:.2g}: ({x}).clip(0, 255).astype('uint8')"


def _check_points(found: Stored, dataset: Dataset) -> None:
    if found.shape[1:] != dataset.stored_shape:
        raise UsageError(f"{found.path}: shape {found.shape}; {dataset.name} needs (N, {dataset.stored_shape[0]})")
    if found.dtype.kind not in "fiu":
        raise UsageError(f"{found.path}: values of {found.dtype}; expected numbers")
