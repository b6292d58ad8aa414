"""Images of one's own, in a folder or in Parquet files: packed once into DATA_DIR/packed, then cut into splits.

A path may begin with ~; a relative one starts from DATA_DIR, so that a run has one identity wherever it is launched. It
is packed for each size, number of channels, crop and order of its own, in the manner of bench/datasets/packed.py: what
lies at the path may change no more until what was packed is removed, and may then be missing.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from bench.config.names import safe_name
from bench.datasets.base import Dataset
from bench.datasets.cuts import Amount, cut
from bench.datasets.order import SEED
from bench.datasets.packed import stored
from bench.datasets.parts import Originals
from bench.errors import UsageError

VERSION = "1"  # of what is made of the files
INCEPTION = 32  # the least side of images that Inception is for
LARGEST = 4096

Place = Annotated[str, Field(min_length=1)]  # a path; without one it would be DATA_DIR itself
Crop = Literal["centre", "exact"]


def located(path: str, data_dir: Path) -> Path:
    """Where a path of a dataset's options leads."""
    return Path(data_dir.absolute(), Path(path).expanduser())


def order_of(name: str, seed: int) -> str:
    """What a version says of the order of a seed; UsageError for one out of range."""
    _within(name, "seed", seed, 0, 2**32 - 1)
    return f"-seed{seed}" if seed != SEED else ""


def _within(name: str, key: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise UsageError(f"dataset {name}: {key} = {value}: {least} to {most}")


@dataclass(frozen=True)
class Own:
    """The options that all images of one's own have, under the names of the options; `name` is the dataset's.

    UsageError for a size or a seed out of range.
    """

    name: str
    data_dir: Path
    path: str
    size: int
    channels: int
    crop: Crop
    test: Amount | None
    validation: Amount
    seed: int
    extractor: str

    def __post_init__(self) -> None:
        _within(self.name, "size", self.size, 1, LARGEST)
        order_of(self.name, self.seed)

    @property
    def version(self) -> str:
        return f"{VERSION}-{self.channels}x{self.size}-{self.crop}{order_of(self.name, self.seed)}"

    def dataset(self, find: Callable[["Own", Path], Originals | None], expected: str, *read: str) -> Dataset:
        """The images that `find` lists at the path; `expected` says what should be there, `read` what is read of it.

        The extractor is, if none is named, Inception for images of 32 x 32 pixels or more and for those without
        classes, else a classifier of their own. UsageError if there is nothing, for a split that cannot be cut, and for
        what packing finds wrong.
        """
        source, root = located(self.path, self.data_dir), self.data_dir.absolute()
        known = source.relative_to(root) if source.is_relative_to(root) else source
        key = hashlib.sha256(json.dumps([f"{known}", self.version, *read]).encode()).hexdigest()[:8]
        folder = root / "packed" / safe_name(f"{self.name}-{source.name}-{key}")
        expected = f"path = {self.path!r}: nothing at {source}; expected there {expected}"
        shape = (self.channels, self.size, self.size)
        packed, stamp = stored(self.name, folder, shape, lambda: find(self, source), expected)
        arrays, note = cut(self.name, packed, self.test, self.validation)
        usual = "inception" if self.size >= INCEPTION or "train_labels" not in arrays else f"{self.name}_cnn"
        facts: dict[str, Any] = {**arrays, "extractor": self.extractor or usual, "stamp": stamp.of_all}
        return Dataset(self.name, stamp.version + note, levels=256, **facts).fix()
