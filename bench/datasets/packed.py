"""Images that are packed once and from then on mapped: N of them take 3 N S^2 bytes, 15.7 GB for ImageNet-64.

DATA_DIR/NAME/packed holds train.npy and test.npy, uint8 of shape (N, 3, S, S) in one fixed random order (see `order`),
their int64 labels where there are any, and stamp.json, written last: layout, version, shapes, digests, and the listings
of the sources, which these must agree with whenever they are there (see `parts`). What was packed is hashed then, and
again only if the time of its file is another than the one in .times.json. One process packs while others wait; nothing
is locked or written where everything is packed.
"""

import hashlib
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from torch import Tensor

from bench.datasets.base import Dataset
from bench.datasets.mapped import Shape, mapped
from bench.datasets.packing import LAYOUT, PROGRESS, pack
from bench.datasets.parts import Listing, Originals, compared, times_of
from bench.errors import UsageError
from bench.identity import inputs
from bench.records.disk import shortage
from bench.records.files import sweep
from bench.records.locks import locked
from bench.records.seal import read_json, write_json

TIMES = ".times.json"


@dataclass(frozen=True)
class Stamp:
    """stamp.json: what was packed from what.

    Attributes:
        checksum: Dataset's.
        arrays: shapes by name.
        digests: SHA-256 of the values of each array.
        sources: the listings of the sources by group.
        left_out: images that were not packed, a count for each kind.
    """

    layout: int
    version: str
    checksum: str
    arrays: Mapping[str, Shape]
    digests: Mapping[str, str]
    sources: Mapping[str, Listing]
    left_out: Mapping[str, int]


def packed(name: str, folder: Path, shape: Shape, find: Callable[[], Originals | None], expected: str) -> Dataset:
    """The dataset in `folder`, packed there first if it is not; its tensors are mapped files.

    Args:
        shape: (3, S, S).
        find: lists what to pack, or None where nothing is left of it: then what is packed counts.
        expected: what the sources are and where they lie, for the message when there is nothing at all.

    Raises:
        UsageError: neither sources nor anything packed; bad sources; sources that changed since; an array that is
            not what the stamp says; another layout; a folder that cannot be written to.
        NoSpace: the disk is full; packing goes on from there when there is room.
    """
    with inputs.unnoted():  # up to 1.3 million images; the stamp stands for them
        try:
            sources, whole = find(), (folder / "stamp.json").is_file()
        except OSError as error:
            raise UsageError(f"{name}: cannot read {error.filename}: {error.strerror}") from error
        if not whole and sources is None:
            raise UsageError(f"{name}: {expected}")
        if not whole and sources is not None:
            _pack_once(name, folder, shape, sources)
    stamp = _read(folder)
    with inputs.unnoted():
        return _open(name, folder, shape, sources, stamp)


def _pack_once(name: str, folder: Path, shape: Shape, sources: Originals) -> None:
    try:
        with locked(folder / ".lock"):
            sweep(folder)
            if not (folder / "stamp.json").is_file():
                left_out = sources.left_out()
                _say(name, folder, sources, left_out)
                _pack(folder, shape, sources, left_out)
    except OSError as error:
        if complaint := shortage(error, folder):
            raise complaint from error
        raise UsageError(f"{name}: cannot write to {folder}: {error}") from error


def _say(name: str, folder: Path, sources: Originals, left_out: Mapping[str, int]) -> None:
    files = " and ".join(f"{sum(len(part.files) for part in parts)} {s}" for s, parts in sources.splits.items())
    out = ", ".join(f"{count} {kind}" for kind, count in left_out.items())
    note = f"; left out: {out}" if out else ""
    print(f"{name}: packing {files} files into {folder}, once{note}", file=sys.stderr, flush=True)


def _pack(folder: Path, shape: Shape, sources: Originals, left_out: Mapping[str, int]) -> None:
    made = pack(folder, shape, sources)
    times = {array: _time(folder, array) for array in made.arrays} | times_of(sources)
    write_json(folder / TIMES, {"times": times})
    stamp = Stamp(LAYOUT, sources.version, made.checksum, made.arrays, made.digests, made.sources, left_out)
    write_json(folder / "stamp.json", asdict(stamp))
    (folder / PROGRESS).unlink(missing_ok=True)


def _open(name: str, folder: Path, shape: Shape, sources: Originals | None, stamp: Stamp) -> Dataset:
    path, again = folder / "stamp.json", f"remove {folder} to pack again"
    for split in ("train", "test"):
        if stamp.arrays.get(split, ())[1:] != shape:
            expected = f"(N, {', '.join(map(str, shape))})"
            raise UsageError(f"{path}: {split} is {stamp.arrays.get(split)}, {name} is {expected}; {again}")
    times = _times(folder)
    now = times_of(sources) if sources else {}
    if sources is not None:
        difference = compared(sources, stamp.sources, [group for group in now if now[group] != times.get(group)])
        if stamp.version != sources.version:
            difference = f"the version of its sources is {sources.version}, and was {stamp.version}"
        if difference:
            raise UsageError(f"{name}: {difference} when {folder} was packed; {again}")
    tensors = {array: mapped(folder / f"{array}.npy", size) for array, size in stamp.arrays.items()}
    for array, values in tensors.items():
        now[array] = _time(folder, array)
        if now[array] != times.get(array) and _digest(values) != stamp.digests[array]:
            raise UsageError(f"{folder / array}.npy: its values are not those that were packed; {again}")
    if now.items() - times.items():
        with suppress(OSError):  # a folder that cannot be written to is looked at each time
            write_json(folder / TIMES, {"times": times | now})
    return Dataset(
        name=name,
        version=stamp.version,
        train=tensors["train"],
        test=tensors["test"],
        train_labels=tensors.get("train_labels"),
        test_labels=tensors.get("test_labels"),
        levels=256,
        extractor="inception",
        stamp=stamp.checksum,
    )


def _read(folder: Path) -> Stamp:
    """The stamp in a folder; UsageError for one that is damaged or of another layout."""
    path = folder / "stamp.json"
    try:
        stamp = Stamp(**read_json(path))
        if stamp.layout != LAYOUT:
            raise ValueError(f"layout {stamp.layout}")
        arrays = {array: tuple(size) for array, size in stamp.arrays.items()}
        sources = {group: Listing(*texts) for group, texts in stamp.sources.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        complaint = f"{path}: not the stamp of images packed in layout {LAYOUT} ({error})"
        raise UsageError(f"{complaint}; remove {folder} to pack again") from error
    return replace(stamp, arrays=arrays, sources=sources)


def _times(folder: Path) -> dict[str, str]:
    """Times of what was found to be what was packed, by array and group; none where they are not known."""
    try:
        return dict(read_json(folder / TIMES)["times"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _time(folder: Path, array: str) -> str:
    return str((folder / f"{array}.npy").stat().st_mtime_ns)


def _digest(values: Tensor) -> str:
    return hashlib.sha256(values.numpy().reshape(-1).data).hexdigest()
