"""What packed images are made from: files in groups, read a part at a time.

A change of them shows in their names, sizes and times: to read 140 GB at every start would take longer than most runs.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.datasets.order import SEED

Block = tuple[NDArray[np.uint8], NDArray[np.int64] | None]


class File(NamedTuple):
    """A file's name, its size in bytes and the time of its last change in nanoseconds."""

    name: str
    size: int
    time: int


def file_of(path: Path) -> File:
    """The facts of a file; OSError if it is not there."""
    found = path.stat()
    return File(path.name, found.st_size, found.st_mtime_ns)


@dataclass(frozen=True, eq=False)
class Part:
    """What is read at once of a split.

    Attributes:
        group: what messages call it: a batch file, or the folder that its images lie in.
        files: what it is read from.
        read: gives images (n, C, S, S) and labels (n,), None where there are none; UsageError for a bad file.
        rows: n, None where only reading tells.
    """

    group: str
    files: tuple[File, ...]
    read: Callable[[], Block]
    rows: int | None = None

    @cached_property
    def listed(self) -> str:
        return _listed([self])


@dataclass(frozen=True)
class Originals:
    """What "train" is packed from, and "validation" and "test" if they are splits of their own, in the published order.

    Attributes:
        version: names the edition of the data.
        labelled: whether the parts have labels.
        splits: the parts of each split.
        left_out: counts the files that are not packed, by kind ("files a folder deeper").
        seed: of the order that each split is put in.
    """

    version: str
    labelled: bool
    splits: Mapping[str, Sequence[Part]]
    left_out: Callable[[], dict[str, int]] = dict
    seed: int = SEED

    def listing(self) -> dict[str, str]:
        """The files of each group: their number, their bytes, and a digest of names, sizes and times."""
        groups: dict[str, list[Part]] = {}
        for part in (part for parts in self.splits.values() for part in parts):
            name = os.fsencode(part.group).decode("utf-8", "backslashreplace")  # a folder's name need not be UTF-8
            groups.setdefault(name, []).append(part)
        return {name: _listed(parts) for name, parts in groups.items()}


def _listed(parts: Iterable[Part]) -> str:
    files = [(part.group, file) for part in parts for file in part.files]
    digest = hashlib.sha256()
    for group, file in files:
        digest.update(os.fsencode(f"{group}\0{file.name}\0{file.size}\0{file.time}\n"))
    total = sum(file.size for _, file in files)
    return f"{len(files)} file{'s' if len(files) > 1 else ''} of {total} bytes ({digest.hexdigest()[:16]})"
