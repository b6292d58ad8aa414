"""What packed images are made from: files in groups, read a part at a time, and how a change of them is noticed.

Names and sizes of files are compared whenever they are there. Their contents are hashed when they are packed, and again
only if the time of a file is another: to read 140 GB at every start would take longer than most runs.
"""

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError

T = TypeVar("T")
R = TypeVar("R")
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
        folder: where its files lie.
        files: what it is read from.
        read: gives images (n, 3, S, S) and labels (n,), None where there are none; UsageError for a bad file.
        rows: n, None where only reading tells.
    """

    group: str
    folder: Path
    files: tuple[File, ...]
    read: Callable[[], Block]
    rows: int | None = None

    @cached_property
    def listed(self) -> str:
        """A digest of what was known of its files."""
        return _digest([self.group, *(f"{file.name}\0{file.size}\0{file.time}" for file in self.files)])


@dataclass(frozen=True)
class Originals:
    """What "train" and "test" are packed from, in the published order.

    Attributes:
        version: names the edition of the data.
        labelled: whether the parts have labels.
        splits: the parts of each split.
        left_out: counts the images that are not packed, by kind ("images a folder deeper").
    """

    version: str
    labelled: bool
    splits: Mapping[str, Sequence[Part]]
    left_out: Callable[[], dict[str, int]] = dict


class Listing(NamedTuple):
    """Of a group: number, bytes and digest of its names and sizes, and a digest of its contents."""

    files: str
    contents: str


def contents_of(part: Part) -> str:
    """A digest of the contents of a part's files; UsageError for one that cannot be read."""
    return _digest(in_threads(_sha256, [part.folder / file.name for file in part.files]))


def listings(sources: Originals, contents: Mapping[Part, str]) -> dict[str, Listing]:
    """The groups as they are listed; `contents` holds what `contents_of` gave for each part."""
    groups = _groups(sources).items()
    return {group: Listing(_listed(parts), _digest(contents[part] for part in parts)) for group, parts in groups}


def times_of(sources: Originals) -> dict[str, str]:
    """A digest of the times of the files of each group."""
    groups = _groups(sources).items()
    return {group: _digest(str(file.time) for part in parts for file in part.files) for group, parts in groups}


def compared(sources: Originals, packed: Mapping[str, Listing], doubtful: Collection[str]) -> str | None:
    """The first difference from what was packed, None if there is none; contents are looked at in doubtful groups."""
    groups = _groups(sources)
    for group in (*groups, *packed):
        now = _listed(groups[group]) if group in groups else "not there"
        then = packed[group].files if group in packed else "not there"
        if now != then:
            return f"{group} is {now}, and was {then}"
    for group in doubtful:
        if _digest(map(contents_of, groups[group])) != packed[group].contents:
            return f"{group} has another content, in files of the same names and sizes,"
    return None


def in_threads(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """function(item) of each item in order, by as many threads as there are cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        return list(pool.map(function, items))


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error


def _groups(sources: Originals) -> dict[str, list[Part]]:
    groups: dict[str, list[Part]] = {}
    for part in (part for parts in sources.splits.values() for part in parts):
        name = os.fsencode(part.group).decode("utf-8", "backslashreplace")  # a folder's name need not be UTF-8
        groups.setdefault(name, []).append(part)
    return groups


def _listed(parts: Sequence[Part]) -> str:
    files = [file for part in parts for file in part.files]
    named = _digest(f"{file.name}\0{file.size}" for file in files)
    total = sum(file.size for file in files)
    return f"{len(files)} file{'s' if len(files) > 1 else ''} of {total} bytes ({named})"


def _digest(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(os.fsencode(line) + b"\n")
    return digest.hexdigest()[:16]
