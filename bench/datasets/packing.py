"""Packing: each image is put at its place in one fixed random order, part by part, so that a killed pack goes on.

Rows are counted first. After each part what was written is forced to the disk and progress.json notes it.
"""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from bench.datasets.base import digest_of
from bench.datasets.mapped import Shape, allocate, is_whole, mapped, write_rows
from bench.datasets.order import places
from bench.datasets.parts import Originals, Part
from bench.errors import UsageError
from bench.records.seal import read_json, write_json

LAYOUT = 3  # of stamp and arrays: 1 had the order of the sources, 2 digests of what these hold
PROGRESS = "progress.json"
STAMP = "stamp.json"


@dataclass(frozen=True)
class Stamp:
    """stamp.json: what was packed from what.

    Attributes:
        checksum: of the values of train and test (see Dataset).
        arrays: shapes by name.
        digests: SHA-256 of the values of each array.
        times: of each array's file, in nanoseconds.
        sources: `Originals.listing`.
        left_out: images that were not packed, a count for each kind.
    """

    layout: int
    version: str
    checksum: str
    arrays: Mapping[str, Shape]
    digests: Mapping[str, str]
    times: Mapping[str, int]
    sources: Mapping[str, str]
    left_out: Mapping[str, int]


def pack(folder: Path, shape: Shape, sources: Originals, left_out: Mapping[str, int]) -> None:
    """Write the arrays, which get their names when all of them are whole, and the stamp.

    The caller holds the folder's lock.
    """
    for path in folder.glob("*.npy"):
        if not (folder / PROGRESS).is_file():
            raise UsageError(f"{path}: lies there without {STAMP} and is not overwritten; remove {folder}")
        path.replace(_partial(folder, path.stem))  # a kill came between the first name and the stamp
    progress = Progress(folder, sources.version)
    arrays: dict[str, Shape] = {}
    for split in sources.splits:
        arrays |= _pack_split(folder, split, shape, sources, progress)
    tensors = {array: mapped(_partial(folder, array), size) for array, size in arrays.items()}
    digests = {array: digest_of(values) for array, values in tensors.items()}
    checksum = digest_of(*(tensors[split] for split in sources.splits))[:16]
    finished = {array: _partial(folder, array).replace(folder / f"{array}.npy") for array in arrays}
    times = {array: path.stat().st_mtime_ns for array, path in finished.items()}
    stamp = Stamp(LAYOUT, sources.version, checksum, arrays, digests, times, sources.listing(), left_out)
    write_json(folder / STAMP, asdict(stamp))
    (folder / PROGRESS).unlink(missing_ok=True)


def _pack_split(folder: Path, split: str, shape: Shape, sources: Originals, progress: "Progress") -> dict[str, Shape]:
    """Pack the parts that are still missing; the shapes of the split's arrays."""
    parts = sources.splits[split]
    counts = [part.rows or progress.count(part) for part in parts]
    place, ends = places(sum(counts)), list(accumulate(counts))
    arrays = {split: (len(place), *shape)} | ({f"{split}_labels": (len(place),)} if sources.labelled else {})
    files = {_partial(folder, array): size for array, size in arrays.items()}
    listed = [str(len(place)), *(part.listed for part in parts)]
    written = progress.written(split, listed)
    if not written or not all(is_whole(path, size) for path, size in files.items()):
        written = 0
        for path, size in files.items():
            allocate(path, size)
    for i in range(written, len(parts)):
        block = parts[i].read()
        if len(block[0]) != counts[i]:
            name = parts[i].group
            raise UsageError(f"{name}: has other images than a moment ago; start again when nothing writes there")
        for path, values in zip(files, block, strict=False):
            assert values is not None
            write_rows(path, place[ends[i] - counts[i] : ends[i]], values)
        progress.note(split, listed[: i + 2])
    return arrays


class Progress:
    """progress.json: rows of the parts that had to be counted, and of each split the parts that are written."""

    def __init__(self, folder: Path, version: str) -> None:
        self.path, self.of = folder / PROGRESS, f"{LAYOUT} {version}"
        self.state: dict[str, Any] = {"of": self.of, "counts": {}, "splits": {}}
        if self.path.is_file():
            try:
                found = read_json(self.path)
                self.state = found if found.get("of") == self.of else self.state
            except ValueError as error:
                print(f"{self.path}: {error}; everything is packed again", file=sys.stderr, flush=True)

    def count(self, part: Part) -> int:
        """How many rows a part has; it is read for that once."""
        counts: dict[str, int] = self.state["counts"]
        if part.listed not in counts:
            counts[part.listed] = len(part.read()[0])
            write_json(self.path, self.state)
        return counts[part.listed]

    def written(self, split: str, listed: list[str]) -> int:
        """How many parts are written; none if what was written is of other parts, or of another number of rows."""
        noted = self.state["splits"].get(split, [])
        return max(0, len(noted) - 1) if noted == listed[: len(noted)] else 0

    def note(self, split: str, listed: list[str]) -> None:
        """The number of rows, and the parts that are written."""
        self.state["splits"][split] = listed
        write_json(self.path, self.state)


def _partial(folder: Path, array: str) -> Path:
    return folder / f"{array}.npy.partial"
