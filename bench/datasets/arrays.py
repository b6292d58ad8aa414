"""An array in a file, read in blocks of rows: .npy, a member of .npz, or a table of numbers.

Of .npy and .npz memory holds a block, whether or not the archive is compressed; nothing that is read can carry code.
"""

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.datasets.table import SEPARATORS, columns_of, read_table
from bench.errors import UsageError, one_line

NAMES = ("samples", "arr_0")  # of the member that is taken of several; ADM's files have labels in arr_1
TABLES = (*SEPARATORS, ".parquet")
SUFFIXES = (".npz", ".npy", *TABLES)


@dataclass(frozen=True, eq=False)
class Stored:
    """The array of shape (N, ...) in a file, or in a member of an archive; `unused` are a table's other columns."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    member: str = ""
    table: NDArray[Any] | None = None
    unused: tuple[str, ...] = ()

    def blocks(self, n: int, size: int) -> Iterator[NDArray[Any]]:
        """The first n rows, `size` at a time; UsageError if the file is not whole."""
        try:
            if self.member:
                yield from self._unpacked(n, size)
                return
            rows = np.load(self.path, mmap_mode="r") if self.table is None else self.table
            for start in range(0, n, size):
                yield rows[start : min(start + size, n)]
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            if isinstance(error, UsageError):
                raise
            raise UsageError(f"{self.path}: not whole ({one_line(error)})") from error

    def _unpacked(self, n: int, size: int) -> Iterator[NDArray[Any]]:
        with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as file:
            _header(file)
            width = int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize
            for start in range(0, n, size):
                count = min(size, n - start)
                yield np.frombuffer(file.read(count * width), self.dtype).reshape(count, *self.shape[1:])


def stored(path: Path, columns: Sequence[str] | None = None) -> Stored:
    """The array in a file, as its header has it; of a table, the columns of those names where both have names.

    UsageError if it is no array, or for a column that is not there.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{path}: expected a folder of images or a file of {', '.join(SUFFIXES)}")
    try:
        if suffix in TABLES:
            names = columns_of(path)
            chosen = _chosen(path, names, columns)
            table = read_table(path, chosen).points
            unused = () if chosen is None else tuple(name for name in names if name not in chosen)
            return Stored(path, table.shape, table.dtype, table=table, unused=unused)
        if suffix == ".npy":
            rows = np.load(path, mmap_mode="r")
            return Stored(path, rows.shape, rows.dtype)
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            name = next((name for name in NAMES if name in names), names[0] if len(names) == 1 else "")
            if not name:
                raise UsageError(f"{path}: no array {' or '.join(map(repr, NAMES))} in it; it has {', '.join(names)}")
            with archive.open(f"{name}.npy") as file:
                return Stored(path, *_header(file), member=f"{name}.npy")
    except Exception as error:  # numpy and zipfile fail in many ways
        if isinstance(error, UsageError):
            raise UsageError(str(error) if f"{path}" in f"{error}" else f"{path}: {error}") from error
        raise UsageError(f"{path}: not an array of numbers ({one_line(error)})") from error


def _chosen(path: Path, names: Sequence[str], wanted: Sequence[str] | None) -> list[str] | None:
    """Which columns of a table hold the points, in their order; None for all that it has.

    Columns that are only counted have no names: as many as are wanted are taken as they lie.
    """
    if wanted is None or (len(names) == len(wanted) and (_are_counted(names) or _are_counted(wanted))):
        return None
    if not (lacking := [name for name in wanted if name not in names]):
        return [*wanted]
    if _are_counted(names) or _are_counted(wanted):
        return None
    raise UsageError(f"{path}: no column {lacking[0]!r}, which the data has; its columns are {', '.join(names)}")


def _are_counted(names: Sequence[str]) -> bool:
    return all(name.isdecimal() for name in names)


def _header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of the array that a file begins with, whose values come next."""
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, by_columns, dtype = read[np.lib.format.read_magic(file)](file)
    if dtype.hasobject:
        raise UsageError("an array of objects; expected numbers")
    if by_columns and len(shape) > 1:
        raise UsageError("an array in the order of Fortran; save numpy.ascontiguousarray of it")
    return shape, dtype
