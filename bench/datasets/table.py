"""Tables of numbers in files: .npy, .csv, .tsv and .parquet, read in double precision.

    .npy            an array (N, D) or (N,), whose columns are named 0, 1, ...
    .csv, .tsv      a row a line; the first line names the columns, also as 0, 1, ..., unless it is other numbers alone
    .parquet        a column a name

One column may hold labels: integers or texts. Everything else is a finite number, or a complaint says which is none.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.config.registry import unknown
from bench.errors import UsageError, one_line

SEPARATORS = {".csv": ",", ".tsv": "\t"}
INDEX = ("", "Unnamed: 0", "__index_level_0__")  # what pandas names it in files
SUFFIXES = (".npy", *SEPARATORS, ".parquet")


class Table(NamedTuple):
    """Float64 points (N, D) with the names of their columns, and their labels (N,) if a column holds some."""

    names: tuple[str, ...]
    points: NDArray[np.float64]
    labels: NDArray[Any] | None


def read_table(path: Path, columns: Sequence[str] | None = None, label: str | None = None) -> Table:
    """The columns of a file, all but that of labels unless they are named.

    UsageError that names the file for one of another kind or not whole, for a column that is not there, and for a value
    that is not a finite number, with its row, counted from 1 without a header.
    """
    read = {".npy": _array, ".parquet": _parquet}.get(path.suffix.lower(), _text)
    try:
        return _checked(path, *read(path, columns, label))
    except UsageError:
        raise
    except Exception as error:  # bytes that are no table fail in many ways
        raise UsageError(f"{path}: cannot be read: {one_line(error)}") from error


def columns_of(path: Path) -> list[str]:
    """The names of all columns of a .csv, .tsv or .parquet file; UsageError if it cannot be read."""
    try:
        if path.suffix.lower() in SEPARATORS:
            return _header(path, SEPARATORS[path.suffix.lower()])[0]
        from pyarrow import parquet

        return [*parquet.read_schema(path).names]
    except Exception as error:  # as above
        raise UsageError(f"{path}: cannot be read: {one_line(error)}") from error


def _chosen(path: Path, names: Sequence[str], columns: Sequence[str] | None, label: str | None) -> list[str]:
    """Columns of points among the names; UsageError for one that is not there, or comes twice."""
    if twice := [name for name in names if [*names].count(name) > 1]:
        raise UsageError(f"{path}: two columns are named {twice[0]!r}")
    if columns is None and (strays := [name for name in names if name in INDEX]):
        raise UsageError(f"{path}: column {strays[0]!r} is the index of a frame; say which columns are points")
    wanted = [name for name in names if name != label] if columns is None else [*columns]
    for name in [*wanted, *([] if label is None else [label])]:
        if name not in names:
            raise UsageError(f"{path}: " + unknown("column", name, [*names]))
    if twice := [name for name in wanted if wanted.count(name) > 1 or name == label]:
        raise UsageError(f"{path}: column {twice[0]!r} is asked for twice")
    if not wanted:
        raise UsageError(f"{path}: no column of points")
    return wanted


def _array(path: Path, columns: Sequence[str] | None, label: str | None) -> tuple[list[str], list[Any], Any]:
    values = np.load(path, allow_pickle=False)
    if values.ndim not in (1, 2) or values.dtype.kind not in "fiu":
        raise UsageError(f"{path}: {values.dtype} {values.shape}, expected real numbers (N, D) or (N,)")
    values = values.reshape(len(values), -1)
    names = [*map(str, range(values.shape[1]))]
    wanted = _chosen(path, names, columns, label)
    return wanted, [values[:, int(name)] for name in wanted], None if label is None else values[:, int(label)]


def _text(path: Path, columns: Sequence[str] | None, label: str | None) -> tuple[list[str], list[Any], Any]:
    import pyarrow as pa
    from pyarrow import csv as reader

    separator = SEPARATORS.get(path.suffix.lower())
    if separator is None:
        raise UsageError(f"{path}: expected {', '.join(SUFFIXES)}")
    names, bare = _header(path, separator)
    wanted = _chosen(path, names, columns, label)
    types = dict.fromkeys(wanted, pa.float64()) | ({} if label is None else {label: pa.string()})
    with path.open("rb") as file:
        table = reader.read_csv(
            file,
            reader.ReadOptions(use_threads=False, column_names=names, skip_rows=0 if bare else 1),
            reader.ParseOptions(delimiter=separator),
            reader.ConvertOptions(column_types=types, include_columns=[*types], null_values=[]),
        )
    return wanted, [table[name].to_numpy() for name in wanted], None if label is None else table[label].to_numpy()


def _header(path: Path, separator: str) -> tuple[list[str], bool]:
    """The names of the columns, and whether the file is without a line of them."""
    with path.open(newline="", encoding="utf-8-sig") as lines:
        first = next(csv.reader(lines, delimiter=separator), [])
    numbers = [*map(str, range(len(first)))]
    bare = first != numbers and all(map(_is_number, first))
    return (numbers if bare else [name.strip() for name in first]), bare


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parquet(path: Path, columns: Sequence[str] | None, label: str | None) -> tuple[list[str], list[Any], Any]:
    import pyarrow as pa
    from pyarrow import parquet

    with path.open("rb") as file:
        opened = parquet.ParquetFile(file)
        wanted = _chosen(path, opened.schema_arrow.names, columns, label)
        table = opened.read(columns=[*wanted, *([] if label is None else [label])])
    for name in table.column_names:
        kind, row = table.schema.field(name).type, table[name].is_null().to_pylist().index
        number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        if not number and not (name == label and (pa.types.is_string(kind) or pa.types.is_large_string(kind))):
            raise UsageError(f"{path}: column {name!r} holds {kind}, not numbers")
        if table[name].null_count:
            raise UsageError(f"{path}: row {row(True) + 1} of column {name!r} is missing")
    return wanted, [table[name].to_numpy() for name in wanted], None if label is None else table[label].to_numpy()


def _checked(path: Path, names: list[str], columns: list[Any], labels: Any) -> Table:
    points = np.stack([np.asarray(values, dtype=np.float64) for values in columns], 1)
    if not len(points):
        raise UsageError(f"{path}: no rows")
    if not (finite := np.isfinite(points)).all():
        row, column = np.argwhere(~finite)[0]
        raise UsageError(f"{path}: row {row + 1} of column {names[column]!r} is {points[row, column]:g}")
    return Table(tuple(names), points, labels)
