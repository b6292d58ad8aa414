"""Packing: each image is put at its place in one fixed random order, part by part, so that a killed pack goes on.

Rows are counted first. After each part what was written is forced to the disk and progress.json notes it.
"""

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from bench.datasets.mapped import Shape, allocate, is_whole, mapped, write_rows
from bench.datasets.order import places
from bench.datasets.parts import Listing, Originals, Part, contents_of, listings
from bench.errors import UsageError
from bench.records.seal import read_json, write_json

LAYOUT = 2  # of the packed arrays: 1 had the order of the sources
PROGRESS = "progress.json"


@dataclass(frozen=True)
class Packed:
    """Shapes and SHA-256 of the arrays by name, Dataset's checksum, and the listings of the sources."""

    arrays: dict[str, Shape]
    digests: dict[str, str]
    checksum: str
    sources: dict[str, Listing]


def pack(folder: Path, shape: Shape, sources: Originals) -> Packed:
    """Write the arrays, which get their names when all of them are whole; the caller holds the folder's lock."""
    for path in folder.glob("*.npy"):
        if not (folder / PROGRESS).is_file():
            raise UsageError(f"{path}: lies there without stamp.json and is not overwritten; remove {folder}")
        path.replace(_partial(folder, path.stem))  # a kill came between the first name and the stamp
    arrays: dict[str, Shape] = {}
    contents: dict[Part, str] = {}
    for split in sources.splits:
        arrays |= _pack_split(folder, split, shape, sources, contents)
    joint, digests = hashlib.sha256(), {}
    for array, size in arrays.items():
        values = mapped(_partial(folder, array), size).numpy().reshape(-1).data
        digests[array] = hashlib.sha256(values).hexdigest()
        if array in sources.splits:
            joint.update(values)
    for array in arrays:
        _partial(folder, array).replace(folder / f"{array}.npy")
    return Packed(arrays, digests, joint.hexdigest()[:16], listings(sources, contents))


def _pack_split(
    folder: Path, split: str, shape: Shape, sources: Originals, contents: dict[Part, str]
) -> dict[str, Shape]:
    """Pack the parts that are still missing; the shapes of the split's arrays. Adds to `contents`."""
    parts, progress = sources.splits[split], Progress(folder, split)
    counts = [part.rows or progress.count(part) for part in parts]
    place, ends = places(sum(counts)), list(accumulate(counts))
    arrays = {split: (len(place), *shape)} | ({f"{split}_labels": (len(place),)} if sources.labelled else {})
    files = {_partial(folder, array): size for array, size in arrays.items()}
    written = progress.written(parts, len(place), sources.version)
    if not written or not all(is_whole(path, size) for path, size in files.items()):
        written = []
        for path, size in files.items():
            allocate(path, size)
    for part, count, end in list(zip(parts, counts, ends, strict=True))[len(written) :]:
        digest, block = contents_of(part), part.read()
        if len(block[0]) != count:
            raise UsageError(f"{part.group}: has other images than a moment ago; start again when nothing writes there")
        for path, values in zip(files, block, strict=False):
            assert values is not None
            write_rows(path, place[end - count : end], values)
        written = [*written, digest]
        progress.note(parts, written, len(place), sources.version)
    contents |= zip(parts, written, strict=True)
    return arrays


class Progress:
    """progress.json: rows of the parts that had to be counted, and of each split the contents of what is written."""

    def __init__(self, folder: Path, split: str) -> None:
        self.path, self.split = folder / PROGRESS, split
        self.state: dict[str, Any] = {"counts": {}, "splits": {}}
        if self.path.is_file():
            try:
                self.state |= read_json(self.path)
            except ValueError as error:
                print(f"{self.path}: {error}; everything is packed again", file=sys.stderr, flush=True)

    def count(self, part: Part) -> int:
        """How many rows a part has; it is read for that once."""
        counts: dict[str, int] = self.state["counts"]
        if part.listed not in counts:
            counts[part.listed] = len(part.read()[0])
            write_json(self.path, self.state)
        return counts[part.listed]

    def written(self, parts: Sequence[Part], rows: int, version: str) -> list[str]:
        """`contents_of` of the first parts, those that are written; none if what was written is of others."""
        listed, contents = self.state["splits"].get(self.split, ("", []))
        return contents if listed == _listed(parts[: len(contents)], rows, version) else []

    def note(self, parts: Sequence[Part], contents: Sequence[str], rows: int, version: str) -> None:
        """As many parts are written as `contents` holds."""
        self.state["splits"][self.split] = (_listed(parts[: len(contents)], rows, version), contents)
        write_json(self.path, self.state)


def _listed(parts: Sequence[Part], rows: int, version: str) -> str:
    lines = [f"layout {LAYOUT}", version, str(rows), *(part.listed for part in parts)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _partial(folder: Path, array: str) -> Path:
    return folder / f"{array}.npy.partial"
