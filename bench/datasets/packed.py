"""Images that are packed once and from then on mapped: N of them take 3 N S^2 bytes, 15.7 GB for ImageNet-64.

DATA_DIR/NAME/packed holds train.npy and test.npy, uint8 of shape (N, C, S, S) in one fixed random order (see `order`),
their int64 labels where there are any, and stamp.json, written last: layout, version, shapes, digests, and the listing
of the sources, which these must agree with whenever they are there (see `parts`). An array whose file has another time
than it had then is hashed, and gets its time back. One process packs while others wait; nothing is locked or written
where everything is packed.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from bench.datasets.base import Dataset, digest_of
from bench.datasets.mapped import Shape, mapped
from bench.datasets.packing import LAYOUT, PROGRESS, STAMP, Stamp, pack
from bench.datasets.parts import Originals
from bench.errors import UsageError
from bench.identity import inputs
from bench.records.disk import shortage
from bench.records.files import sweep
from bench.records.locks import locked
from bench.records.seal import read_json, write_json


def packed(name: str, folder: Path, shape: Shape, find: Callable[[], Originals | None], expected: str) -> Dataset:
    """The dataset in `folder`, as `stored` has it, with the published splits train and test."""
    arrays, stamp = stored(name, folder, shape, find, expected)
    facts: dict[str, Any] = {**arrays, "extractor": "inception", "stamp": stamp.checksum}
    return Dataset(name, stamp.version, levels=256, **facts)


def stored(
    name: str, folder: Path, shape: Shape, find: Callable[[], Originals | None], expected: str
) -> tuple[dict[str, Tensor], Stamp]:
    """The arrays in `folder` by name, packed there first if they are not, as tensors that are mapped files of `shape`.

    `find` lists what to pack, or gives None if nothing is left of it: then what is packed counts. `expected` says what
    the sources are and where they lie. UsageError for bad sources, for sources that changed since, for an array that is
    not what the stamp says, for another layout (one of before is packed anew if there are sources), for a folder that
    cannot be written to; NoSpace if the disk is full, and packing goes on from there when there is room.
    """
    with inputs.unnoted():  # up to 1.3 million images; the stamp stands for them
        try:
            sources, is_packed = find(), (folder / STAMP).is_file()
        except OSError as error:
            raise UsageError(f"{name}: cannot read {error.filename}: {error.strerror}") from error
        if not is_packed and sources is None:
            raise UsageError(f"{name}: {expected}")
        if sources is not None and (not is_packed or _is_of_a_layout_before(folder)):
            _pack_once(name, folder, shape, sources)
    stamp = _read(folder)
    with inputs.unnoted():
        return _open(name, folder, shape, sources, stamp)


def _pack_once(name: str, folder: Path, shape: Shape, sources: Originals) -> None:
    try:
        with locked(folder / ".lock"):
            sweep(folder)
            if anew := _is_of_a_layout_before(folder):
                write_json(folder / PROGRESS, {split: [] for split in sources.splits})
                (folder / STAMP).unlink()
            if not (folder / STAMP).is_file():
                left_out, splits = sources.left_out(), sources.splits.items()
                files = " and ".join(f"{sum(len(part.files) for part in parts)} {split}" for split, parts in splits)
                out = ", ".join(f"{count} {kind}" for kind, count in left_out.items())
                note = f"; left out: {out}" if out else ""
                note += "; it was packed in an older layout" if anew else ""
                print(f"{name}: packing {files} files into {folder}, once{note}", file=sys.stderr, flush=True)
                copies = pack(folder, shape, sources, left_out).copies
                if copies:
                    counts = " and ".join(f"{count} {kind}" for kind, count in copies.items())
                    print(f"{name}: copies of others, to the pixel: {counts}", file=sys.stderr, flush=True)
    except OSError as error:
        if complaint := shortage(error, folder):
            raise complaint from error
        raise UsageError(f"{name}: cannot write to {folder}: {error}") from error


def _open(
    name: str, folder: Path, shape: Shape, sources: Originals | None, stamp: Stamp
) -> tuple[dict[str, Tensor], Stamp]:
    again = f"remove {folder} to pack again"
    for split in sources.splits if sources else ("train",):
        if stamp.arrays.get(split, ())[1:] != shape:
            expected = f"(N, {', '.join(map(str, shape))})"
            held = stamp.arrays.get(split)
            raise UsageError(f"{folder / STAMP}: {split} is {held}, {name} is {expected}; {again}")
    if sources is not None:
        now = {"the version of its sources": sources.version, **sources.listing()}
        then = {"the version of its sources": stamp.version, **stamp.sources}
        for what in (*now, *then):
            if now.get(what) != then.get(what):
                found, was = (known.get(what, "not there") for known in (now, then))
                raise UsageError(f"{name}: {what} is {found}, and was {was} when {folder} was packed; {again}")
    tensors = {}
    for array, size in stamp.arrays.items():
        path, time = folder / f"{array}.npy", stamp.times[array]
        tensors[array] = mapped(path, size)
        if path.stat().st_mtime_ns != time:
            if digest_of(tensors[array]) != stamp.digests[array]:
                raise UsageError(f"{path}: its values are not those that were packed; {again}")
            with suppress(OSError):  # in a folder that cannot be written to it is hashed each time
                os.utime(path, ns=(time, time))
    return tensors, stamp


def _is_of_a_layout_before(folder: Path) -> bool:
    with suppress(OSError, ValueError, TypeError, LookupError):
        return int(read_json(folder / STAMP)["layout"]) < LAYOUT
    return False


def _read(folder: Path) -> Stamp:
    """The stamp in a folder; UsageError for one that is damaged or of another layout."""
    path = folder / STAMP
    try:
        found = read_json(path)
        if found.get("layout") != LAYOUT:
            raise ValueError(f"layout {found.get('layout')}")
        stamp = Stamp(**found)
        return replace(stamp, arrays={array: tuple(size) for array, size in stamp.arrays.items()})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        complaint = f"{path}: not the stamp of images packed in layout {LAYOUT} ({error})"
        raise UsageError(f"{complaint}; remove {folder} to pack again") from error
