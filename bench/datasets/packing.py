"""Packing: each image is put at its place in one fixed random order, part by part, so that a killed pack goes on.

Rows are counted first, by reading where nothing else tells. After each part what was written is forced to the disk and
progress.json notes it.
"""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import blake2b, sha256
from itertools import accumulate
from pathlib import Path

import numpy as np
from torch import Tensor

from bench.datasets.base import digest_of
from bench.datasets.mapped import Shape, allocate, is_whole, mapped, write_rows
from bench.datasets.order import places
from bench.datasets.parts import Originals
from bench.errors import UsageError
from bench.records.seal import read_json, write_json

LAYOUT = 3  # of stamp and arrays: 1 had the order of the sources, 2 digests of what these hold
PROGRESS = "progress.json"
STAMP = "stamp.json"


@dataclass(frozen=True)
class Stamp:
    """stamp.json: what was packed from what.

    Attributes:
        checksum: of the values of the splits (see Dataset).
        arrays: shapes by name.
        digests: SHA-256 of the values of each array.
        times: of each array's file, in nanoseconds.
        sources: `Originals.listing`.
        left_out: images that were not packed, a count for each kind.
        copies: how many images have the pixels of another, of all and of those of test that train has; nothing for 0.
    """

    layout: int
    version: str
    checksum: str
    arrays: Mapping[str, Shape]
    digests: Mapping[str, str]
    times: Mapping[str, int]
    sources: Mapping[str, str]
    left_out: Mapping[str, int]
    copies: Mapping[str, int] = field(default_factory=dict)

    @property
    def of_all(self) -> str:
        """A checksum of the values of all arrays, labels too."""
        return sha256(
            " ".join(f"{array} {self.digests[array]}" for array in sorted(self.digests)).encode()
        ).hexdigest()[:16]


def pack(folder: Path, shape: Shape, sources: Originals, left_out: Mapping[str, int]) -> Stamp:
    """Write the arrays, which get their names when all of them are whole, and the stamp.

    The caller holds the folder's lock.
    """
    for path in folder.glob("*.npy"):
        if not (folder / PROGRESS).is_file():
            raise UsageError(f"{path}: lies there without {STAMP} and is not overwritten; remove {folder}")
        path.replace(_partial(folder, path.stem))  # a kill came between the first name and the stamp
    arrays: dict[str, Shape] = {}
    for split in sources.splits:
        arrays |= _pack_split(folder, split, shape, sources)
    tensors = {array: mapped(_partial(folder, array), size) for array, size in arrays.items()}
    digests = {array: digest_of(values) for array, values in tensors.items()}
    checksum = digest_of(*(tensors[split] for split in sources.splits))[:16]
    finished = {array: _partial(folder, array).replace(folder / f"{array}.npy") for array in arrays}
    times = {array: path.stat().st_mtime_ns for array, path in finished.items()}
    copies = copied({split: tensors[split] for split in sources.splits})
    stamp = Stamp(LAYOUT, sources.version, checksum, arrays, digests, times, sources.listing(), left_out, copies)
    write_json(folder / STAMP, asdict(stamp))
    (folder / PROGRESS).unlink(missing_ok=True)
    return stamp


def copied(splits: Mapping[str, Tensor]) -> dict[str, int]:
    """`Stamp.copies` of the images of each split, by 64 bits of a digest of each."""
    rows = {
        split: np.array(
            [int.from_bytes(blake2b(row.numpy().data, digest_size=8).digest()) for row in images], np.uint64
        )
        for split, images in splits.items()
    }
    every = np.concatenate([*rows.values()])
    found = {"images": len(every) - len(np.unique(every))}
    if "test" in rows:
        found["test images in train"] = int(np.isin(rows["test"], rows["train"]).sum())
    return {kind: count for kind, count in found.items() if count}


def _pack_split(folder: Path, split: str, shape: Shape, sources: Originals) -> dict[str, Shape]:
    """Pack the parts that are still missing; the shapes of the split's arrays."""
    parts, noted = sources.splits[split], _progress(folder)
    counts = [part.rows or len(part.read()[0]) for part in parts]
    place, ends = places(sum(counts), sources.seed), list(accumulate(counts))
    arrays = {split: (len(place), *shape)} | ({f"{split}_labels": (len(place),)} if sources.labelled else {})
    files = {_partial(folder, array): size for array, size in arrays.items()}
    listed = [f"{len(place)} of {sources.version} in layout {LAYOUT}", *(part.listed for part in parts)]
    written = noted.get(split, [])
    if written[:1] != listed[:1] or written != listed[: len(written)] or not all(map(is_whole, files, files.values())):
        written = listed[:1]
        for path, size in files.items():
            allocate(path, size)
    for i in range(len(written) - 1, len(parts)):
        block = parts[i].read()
        if len(block[0]) != counts[i]:
            name = parts[i].group
            raise UsageError(f"{name}: has other images than a moment ago; start again when nothing writes there")
        for path, values in zip(files, block, strict=False):
            assert values is not None
            write_rows(path, place[ends[i] - counts[i] : ends[i]], values)
        write_json(folder / PROGRESS, {**noted, split: listed[: i + 2]})
    return arrays


def _progress(folder: Path) -> dict[str, list[str]]:
    """progress.json: of each split what is packed, and the parts that are written."""
    try:
        return read_json(folder / PROGRESS)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        print(f"{folder / PROGRESS}: {error}; everything is packed again", file=sys.stderr, flush=True)
        return {}


def _partial(folder: Path, array: str) -> Path:
    return folder / f"{array}.npy.partial"
