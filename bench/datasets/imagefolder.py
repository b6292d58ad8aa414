"""Folders of image files as parts: photographs that are cropped and resized, or images that have their size.

A photograph of W x H pixels keeps its largest centre square, of side a = min(W, H) with its corner at
((W - a) // 2, (H - a) // 2), which is resized to S x S by Pillow's bicubic kernel (Keys' with parameter -1/2),
stretched by a / S where the image shrinks (antialiasing). Nothing is skipped for speed: no draft, no reducing gap.
`decoding` says what the pixels of a file are. Grey is round(0.299 R + 0.587 G + 0.114 B), before the resizing.
"""

import os
import warnings
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.datasets.decoding import SUFFIXES, decoded
from bench.datasets.parts import Block, File, Originals, Part
from bench.errors import UsageError

PART = 1 << 26  # bytes of pixels in a part


def photographs(root: Path, size: int) -> Originals | None:
    """The photographs in `root`/{train,val}/CLASS, with the class's place in alphabetical order; None if none is there.

    UsageError if one of train and val, or a class in one of them, is missing or has no images.
    """
    expected = "expected train/CLASS/*.JPEG and val/CLASS/*.JPEG with the same classes"
    train, val = (folders(root / split) for split in ("train", "val"))
    if not (train or val):
        return None
    if strays := sorted(set(train) ^ set(val)):
        raise UsageError(f"{root}: {strays[0]} is not in {'val' if strays[0] in train else 'train'}; {expected}")
    train_parts, val_parts = (
        [part for label, name in enumerate(train) for part in image_parts(root, f"{split}/{name}", size, True, label)]
        for split in ("train", "val")
    )
    classes = [root / split / name for split in ("train", "val") for name in ("", *train)]
    parts = {"train": train_parts, "test": val_parts}
    return Originals("ilsvrc2012-centre-bicubic", True, parts, partial(left_out, classes))


def folders(root: Path) -> list[str]:
    """Names of the folders in `root`, if it is there, sorted and without the hidden ones."""
    if not root.is_dir():
        return []
    with os.scandir(root) as entries:
        return sorted(entry.name for entry in entries if entry.name[0] != "." and entry.is_dir())


def image_parts(
    root: Path, group: str, size: int, crop: bool, label: int | None = None, channels: int = 3
) -> list[Part]:
    """The images in the folder `root / group`, in the order of their names, as parts of about PART bytes.

    With `crop` they are made S x S, else they must be; they are grey if they have one channel. UsageError if there is
    none, and by a part that is read for an image that is not whole, or not S x S.
    """
    folder = root / group
    with os.scandir(folder) as entries:
        images = [entry for entry in entries if entry.name.lower().endswith(SUFFIXES) and entry.name[0] != "."]
        stats = [(entry.name, entry.stat()) for entry in images if not entry.is_dir()]
    files = sorted(File(name, found.st_size, found.st_mtime_ns) for name, found in stats)
    if not files:
        raise UsageError(f"{folder}: no images in it; expected {', '.join(SUFFIXES)} files")
    step = max(1, PART // (channels * size * size))
    pieces = [tuple(files[start : start + step]) for start in range(0, len(files), step)]
    return [
        Part(group, piece, partial(_read, folder, piece, size, crop, label, channels), len(piece)) for piece in pieces
    ]


def left_out(listed: Collection[Path]) -> dict[str, int]:
    """How many files in or below the folders are not read, by kind: of another type, or a folder deeper."""
    known, found = frozenset(listed), Counter[str]()
    for path in (path for folder in listed for path in folder.iterdir() if path.name[0] != "."):
        if path.is_dir() and path not in known:
            found["files a folder deeper"] += sum(len(names) for _, _, names in os.walk(path))
        elif path.suffix.lower() not in SUFFIXES and path not in known:
            found[f"{path.suffix.lower() or 'other'} files"] += 1
    return dict(+found)  # none of an empty folder


def _read(folder: Path, files: tuple[File, ...], size: int, crop: bool, label: int | None, channels: int) -> Block:
    images = read_images([(folder / file.name, None) for file in files], size, crop, channels)
    return images, None if label is None else np.full(len(files), label, dtype=np.int64)


def read_images(files: Sequence[tuple[Path, bytes | None]], size: int, crop: bool, channels: int) -> NDArray[np.uint8]:
    """`read_image` of each file, or of the bytes beside its name: uint8 (n, C, S, S)."""
    images = np.empty((len(files), channels, size, size), dtype=np.uint8)

    def read(index: int) -> None:
        path, data = files[index]
        images[index] = read_image(path, size, crop, channels, data)

    # threads: Pillow decodes and resizes outside the interpreter's lock, which an image needs for 0.1 of its 2.4 ms
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # warnings of odd metadata would refuse an image under -W error
    with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor(cores) as pool:
        list(pool.map(read, range(len(files))))
    return images


def read_image(path: Path, size: int, crop: bool, channels: int = 3, data: bytes | None = None) -> NDArray[Any]:
    """The RGB or grey pixels of an image, uint8 of shape (C, S, S); UsageError if it is not whole, or must be S x S."""
    from PIL import Image

    image = decoded(path, data)
    if channels == 1:
        image = image.convert("L")
    width, height = image.size
    if not crop and (width, height) != (size, size):
        raise UsageError(f"{path}: {width} x {height} pixels, expected {size} x {size}")
    if crop:
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        image = image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    return np.asarray(image).reshape(size, size, channels).transpose(2, 0, 1)
