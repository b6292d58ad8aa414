"""Images in Parquet files, as the Hugging Face hub stores them: a column of encoded files, and one of labels.

The column of images is a struct {bytes, path} or binary. Labels are integers, which count as they are, or texts, which
are counted from 0 in alphabetical order of those of train. bench/datasets/shards.py says which files are which split;
rows are read a row group at a time.
"""

from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.config.registry import register_dataset
from bench.datasets.base import Dataset
from bench.datasets.cuts import Amount
from bench.datasets.imagecolumns import NO_LABELS, columns_of
from bench.datasets.imagefolder import PART, read_images
from bench.datasets.order import SEED
from bench.datasets.own import Crop, Own, Place
from bench.datasets.parts import Block, Originals, Part, file_of
from bench.datasets.shards import EXPECTED, shards
from bench.errors import UsageError, one_line

if TYPE_CHECKING:
    import pyarrow as pa

FEW = 1000  # classes that no number of images is too small for, as a part of ImageNet has them


@register_dataset("parquet")
def parquet(
    data_dir: Path,
    path: Place,
    size: int,
    channels: Literal[1, 3] = 3,
    crop: Crop = "centre",
    test: Amount | None = None,
    validation: Amount = 0,
    seed: int = SEED,
    extractor: str = "",
    image: str = "",
    label: str | None = None,
) -> Dataset:
    """Images of your own from Parquet files, as the Hugging Face hub stores them.

    Args:
        path: the folder of the files, or one file, from DATA_DIR on if it is relative.
        size, channels, crop, test, validation, seed, extractor: as of `folder`.
        image: the column of images; the only one by default.
        label: the column of classes, "" for none; by default `label`, or the only one that is declared as classes.
    """
    own = Own("parquet", data_dir, path, size, channels, crop, test, validation, seed, extractor)
    return own.dataset(partial(_listed, image=image, label=label), EXPECTED, image, f"{label}")


class _Files:
    """What the parts of a data set share: its columns, and the classes if they are texts."""

    def __init__(self, own: Own, paths: dict[str, list[Path]], image: str, label: str | None) -> None:
        self.own, self.paths = own, paths
        self.columns = columns_of(paths["train"][0], _opened(paths["train"][0]).schema_arrow, image, label)

    @cached_property
    def classes(self) -> NDArray[Any]:
        assert self.columns.label
        read = (_opened(path).read(columns=[self.columns.label]) for path in self.paths["train"])
        return np.unique(np.concatenate([table[0].to_numpy().astype(str) for table in read]))

    @cached_property
    def count(self) -> int:
        """How many images train has."""
        return sum(_opened(path).metadata.num_rows for path in self.paths["train"])

    @property
    def most(self) -> int:
        """Classes that such data may have: a network has weights for each number, whether or not it is there."""
        return max(FEW, self.count)

    def parts(self, path: Path) -> list[Part]:
        """The parts of a file, which are none of more than one row group."""
        opened, found, first = _opened(path), list[Part](), 0
        if columns_of(path, opened.schema_arrow, self.columns.image, self.columns.label or "") != self.columns:
            raise UsageError(f"{path}: its labels are of another type than those of {self.paths['train'][0].name}")
        step = max(1, PART // (self.own.channels * self.own.size**2))
        for group in range(opened.num_row_groups):
            rows = opened.metadata.row_group(group).num_rows
            for start in range(0, rows, step):
                stop = min(start + step, rows)
                files = () if found else (file_of(path),)
                read = partial(self.read, path, group, start, stop, first + start)
                found.append(Part(path.name, files, read, stop - start))
            first += rows
        return found

    def read(self, path: Path, group: int, start: int, stop: int, first: int) -> Block:
        rows = _row_group(path, group, tuple(self.columns.names)).slice(start, stop - start)
        files = []
        for i, value in enumerate(rows[self.columns.image].to_pylist()):
            data = value.get("bytes") if isinstance(value, dict) else value
            where = f"{path}, row {first + i + 1}"
            if not data:
                beside = f", only the path {value['path']!r}" if value and value.get("path") else ""
                raise UsageError(f"{where}: column {self.columns.image!r} has no bytes{beside}")
            files.append((Path(where), data))
        images = read_images(files, self.own.size, self.own.crop == "centre", self.own.channels)
        return images, self._labels(path, rows, first) if self.columns.label else None

    def _labels(self, path: Path, rows: "pa.Table", first: int) -> NDArray[np.int64]:
        assert self.columns.label
        values = rows[self.columns.label].to_pylist()
        places = {text: i for i, text in enumerate(self.classes)} if self.columns.texts else None
        for i, value in enumerate(values):
            if places is not None and value not in places:
                raise UsageError(f"{path}, row {first + i + 1}: train has no label {value!r}")
            if places is None and value is not None and value >= self.most:
                allowed = f"below {self.most} with {self.count} images; number classes from 0"
                raise UsageError(f"{path}, row {first + i + 1}: label {value}: {allowed}, or {NO_LABELS}")
            if value is None or (places is None and value < 0):
                raise UsageError(f"{path}, row {first + i + 1}: label {value}: 0 or more; {NO_LABELS}")
        return np.asarray([places[value] for value in values] if places is not None else values, dtype=np.int64)


def _listed(own: Own, root: Path, image: str, label: str | None) -> Originals | None:
    """The images at `root`, in parts; None if nothing is there."""
    if not root.exists():
        return None
    paths = shards(root)
    files = _Files(own, paths, image, label)
    parts = {split: [part for path in of_split for part in files.parts(path)] for split, of_split in paths.items()}
    for split, found in parts.items():
        if not found:
            raise UsageError(f"{paths[split][0]}: no rows")
    return Originals(own.version, files.columns.label is not None, parts, seed=own.seed)


def _opened(path: Path) -> Any:
    """A file with its footer read; UsageError if it is none."""
    from pyarrow import parquet as reader

    try:
        return reader.ParquetFile(path)
    except Exception as error:  # bytes that are no such file fail in many ways
        raise UsageError(f"{path}: not a whole Parquet file: {one_line(error)}") from error


@lru_cache(maxsize=1)  # of a large row group several parts are read
def _row_group(path: Path, group: int, columns: tuple[str, ...]) -> "pa.Table":
    try:
        return _opened(path).read_row_group(group, columns=[*columns])
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{path}: row group {group} cannot be read: {one_line(error)}") from error
