"""Points of anybody's from a file of numbers (bench/datasets/table.py), scaled for the model (see scaling).

A folder holds a file a split instead: train.csv, test.csv and, if there is one, validation.csv, or any other type.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.config.registry import register_dataset
from bench.datasets.base import SPLITS, Dataset
from bench.datasets.cuts import Amount, cut
from bench.datasets.order import SEED, shuffled
from bench.datasets.own import Place, located, order_of
from bench.datasets.scaling import Rule, scaled_by
from bench.datasets.table import SUFFIXES, Table, read_table
from bench.errors import UsageError

VERSION = "1"  # of what is made of the file
NAME = "points"
SHOWN, MARGIN = 0.999, 1.2  # the share of coordinates that pictures of the plane must show, and some room around them
COARSE = 1e-3  # of a standard deviation: the most that single precision may round by


@register_dataset("points")
def points(
    data_dir: Path,
    path: Place,
    columns: list[str | int] | None = None,
    label: str | int | None = None,
    scaling: Rule = "standard",
    test: Amount | None = None,
    validation: Amount = 0,
    seed: int = SEED,
) -> Dataset:
    """Points of your own from a .npy, .csv, .tsv or .parquet file, or from a folder with such a file a split.

    Args:
        path: the file or folder, from DATA_DIR on if it is relative.
        columns: the dimensions, by name, or by number from 0 where there are no names; all but `label` by default.
        label: the column of classes, which are counted from 0 in their order.
        scaling: "standard", "minmax" or "none", by the statistics of train; metrics and likelihoods undo it.
        test, validation: a count, or a share of train, cut off train if there is no such file; a tenth for test.
        seed: of the fixed order, and so of what is cut.
    """
    version = f"{VERSION}-{scaling}{order_of(NAME, seed)}"
    where, names = located(path, data_dir), None if columns is None else [*map(str, columns)]
    tables = {split: read_table(file, names, None if label is None else str(label)) for split, file in _files(where)}
    arrays = {split: shuffled(values, seed) for split, values in _arrays(where, tables).items()}
    arrays, note = cut(NAME, arrays, test, validation)
    _check(where, tables["train"].names, arrays["train"])
    facts: dict[str, Any] = {key: x if key.endswith("labels") else x.float() for key, x in arrays.items()}
    facts |= {"space": scaled_by(scaling, facts["train"]), "columns": tables["train"].names}
    data = Dataset(NAME, version + note, **facts)
    if data.is_plane:
        data = replace(data, extent=MARGIN * float(np.quantile(data.encode(data.train).abs().numpy(), SHOWN)))
    return data  # which is not `fixed`: its labels may be of any column


def _files(where: Path) -> Iterator[tuple[str, Path]]:
    """The file of each split; UsageError if there is none, or two of one split."""
    if not where.is_dir():
        if not where.is_file():
            raise UsageError(f"dataset {NAME}: path: no file or folder {where}; expected a {', '.join(SUFFIXES)} file")
        yield "train", where
        return
    files = [path for path in sorted(where.iterdir()) if path.suffix.lower() in SUFFIXES and path.is_file()]
    for split in SPLITS:
        found = [path for path in files if path.stem == split]
        if len(found) > 1:
            raise UsageError(f"{where}: {found[0].name} and {found[1].name} are one split twice; keep one")
        if not found and split == "train":
            raise UsageError(f"{where}: no train.npy; expected train, test and validation as {', '.join(SUFFIXES)}")
        yield from ((split, path) for path in found)


def _arrays(where: Path, tables: Mapping[str, Table]) -> dict[str, Tensor]:
    """Points, float64 (N, D), and int64 labels of each split, by the classes of train."""
    found: dict[str, Tensor] = {}
    train = tables["train"]
    classes = None if train.labels is None else np.unique(_classes(where, train.labels))
    for split, table in tables.items():
        if table.names != train.names:
            raise UsageError(f"{where}: columns {', '.join(table.names)} in {split}, {', '.join(train.names)} in train")
        found[split] = torch.from_numpy(table.points)
        if classes is not None:
            labels = _classes(where, table.labels)
            if len(strange := np.setdiff1d(labels, classes)):
                raise UsageError(f"{where}: train has no label {strange[0]!s}, which {split} has")
            found[f"{split}_labels"] = torch.from_numpy(np.searchsorted(classes, labels))
    return found


def _classes(where: Path, labels: Any) -> NDArray[Any]:
    """Labels as integers if all of them are, as texts if one is no number; UsageError for other numbers."""
    values = np.asarray(labels)
    if values.dtype.kind == "O":
        with suppress(ValueError):
            return np.asarray([int(text) for text in values])
        try:  # a column of fractions is one of numbers in any kind of file
            values = np.asarray([float(text) for text in values])
        except ValueError:
            return values.astype(str)
    if values.dtype.kind == "f" and len(odd := values[~np.isfinite(values) | (values != np.round(values))]):
        raise UsageError(f"{where}: the label {odd[0]:g} is neither an integer nor a text")
    return values.astype(np.int64)


def _check(where: Path, names: Sequence[str], train: Tensor) -> None:
    """UsageError for a column of train without a spread, or whose spread single precision cannot hold."""
    spread, largest = train.std(0, correction=0), train.abs().max(0).values
    for name, std, most in zip(names, spread.tolist(), largest.tolist(), strict=True):
        if std == 0:
            raise UsageError(f"{where}: column {name!r} is {train[0, names.index(name)]:g} in all rows; leave it out")
        if (step := float(np.spacing(np.float32(most)))) > COARSE * std:
            raise UsageError(
                f"{where}: column {name!r} reaches {most:g}, where single precision has steps of {step:g}, and its "
                f"standard deviation is {std:g}; subtract an offset from it"
            )
