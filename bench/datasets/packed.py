"""Images that are packed once and from then on mapped: N of them take 3 N S^2 bytes, 15.7 GB for ImageNet-64.

DATA_DIR/NAME/packed holds train.npy and test.npy, uint8 of shape (N, 3, S, S), their int64 labels where there are
any, and stamp.json, written last: version, shapes, SHA-256 of the pixels and the listing (names and sizes) of the
sources, which these must agree with whenever they are there. A split is packed part by part. After each part what was
written is forced to the disk and progress.json counts it, so that a killed pack goes on behind it; one process packs
while others wait.
"""

import hashlib
import json
import math
import mmap
import os
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.datasets.base import Dataset
from bench.errors import UsageError
from bench.files import write_json
from bench.locks import locked

HEADER = 128  # bytes before the values of a .npy file; the format wants a multiple of 64
# with numpy's mmap_mode="c" the kernel sets memory aside for the whole file, and refuses one larger than the memory
NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)

Shape = tuple[int, ...]
Block = tuple[NDArray[np.uint8], NDArray[np.int64] | None]


@dataclass(frozen=True)
class Part:
    """What is read at once of a split.

    Attributes:
        group: what messages call it: a batch file, or the folder that its images lie in.
        files: names and sizes in bytes of what it is read from.
        read: gives images (n, 3, S, S) and labels (n,), None where there are none; UsageError for a bad file.
    """

    group: str
    files: tuple[tuple[str, int], ...]
    read: Callable[[], Block]

    @property
    def listed(self) -> bytes:
        return "".join(f"{self.group}\0{name}\0{size}\n" for name, size in self.files).encode()


@dataclass(frozen=True)
class Sources:
    """What "train" and "test" are packed from, in order; `labelled` says whether the parts have labels."""

    version: str
    labelled: bool
    splits: Mapping[str, Sequence[Part]]


@dataclass(frozen=True)
class Stamp:
    """stamp.json: what was packed from what. `arrays` are the shapes by name, `checksum` is Dataset's."""

    version: str
    checksum: str
    arrays: Mapping[str, Sequence[int]]
    sources: Mapping[str, str]


def packed(name: str, folder: Path, shape: Shape, find: Callable[[], Sources | None], expected: str) -> Dataset:
    """The dataset in `folder`, packed there first if it is not; its tensors are mapped files.

    Args:
        shape: (3, S, S).
        find: lists what to pack, or None where nothing is left of it: then what is packed counts.
        expected: what the sources are and where they lie, for the message when there is nothing at all.

    Raises:
        UsageError: neither sources nor anything packed; bad sources; sources that changed since; an array that is
            not what the stamp says; a folder that cannot be written to.
    """
    stamp = folder / "stamp.json"
    try:
        sources, whole = find(), stamp.is_file()
    except OSError as error:
        raise UsageError(f"{name}: cannot read {error.filename}: {error.strerror}") from error
    if not whole and sources is None:
        raise UsageError(f"{name}: {expected}")
    if not whole and sources is not None:
        try:
            with locked(folder / ".lock"):
                if not stamp.is_file():
                    files = " and ".join(f"{sum(len(p.files) for p in ps)} {s}" for s, ps in sources.splits.items())
                    print(f"{name}: packing {files} files into {folder}, once", file=sys.stderr, flush=True)
                    write_json(stamp, asdict(_pack(folder, shape, sources)))
                    (folder / "progress.json").unlink(missing_ok=True)
        except OSError as error:
            raise UsageError(f"{name}: cannot write to {folder}: {error}") from error
    return _open(name, folder, shape, sources)


def _open(name: str, folder: Path, shape: Shape, sources: Sources | None) -> Dataset:
    path, again = folder / "stamp.json", f"remove {folder} to pack again"
    try:
        stamp = Stamp(**json.loads(path.read_text(encoding="utf-8")))
        arrays = {array: tuple(size) for array, size in stamp.arrays.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: not the stamp of packed images ({error}); {again}") from error
    for split in ("train", "test"):
        if arrays.get(split, ())[1:] != shape:
            expected = f"(N, {', '.join(map(str, shape))})"
            raise UsageError(f"{path}: {split} is {arrays.get(split)}, {name} is {expected}; {again}")
    if sources is not None and (found := _listing(sources)) != stamp.sources:
        group = next(g for g in (*found, *stamp.sources) if found.get(g) != stamp.sources.get(g))
        now, then = (listing.get(group, "not there") for listing in (found, stamp.sources))
        raise UsageError(f"{name}: {group} is {now}, and when {folder} was packed it was {then}; {again}")
    tensors = {array: _mapped(folder / f"{array}.npy", size) for array, size in arrays.items()}
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


def _listing(sources: Sources) -> dict[str, str]:
    """The version and, of each group, number, bytes and digest of its files."""
    groups: dict[str, list[Part]] = {}
    for part in (part for parts in sources.splits.values() for part in parts):
        groups.setdefault(part.group, []).append(part)
    listing = {"version": sources.version}
    for group, parts in groups.items():
        sizes = [size for part in parts for _, size in part.files]
        digest = _digest("", parts).hexdigest()[:16]
        listing[group] = f"{len(sizes)} file{'s' if len(sizes) > 1 else ''} of {sum(sizes)} bytes ({digest})"
    return listing


def _digest(version: str, parts: Sequence[Part]) -> "hashlib._Hash":
    """SHA-256 of the names and sizes of what the parts are read from."""
    digest = hashlib.sha256(version.encode())
    for part in parts:
        digest.update(part.listed)
    return digest


def _pack(folder: Path, shape: Shape, sources: Sources) -> Stamp:
    """Write the arrays, which get their names when all of them are whole; the caller holds the lock."""
    for path in folder.glob("*.npy"):
        if not (folder / "progress.json").is_file():
            raise UsageError(f"{path}: lies there without stamp.json and is not overwritten; remove {folder}")
        path.replace(_partial(folder, path.stem))  # a kill came between the first name and the stamp
    arrays: dict[str, Shape] = {}
    for split in sources.splits:
        rows = _pack_split(folder, split, shape, sources)
        arrays |= {split: (rows, *shape)} | ({f"{split}_labels": (rows,)} if sources.labelled else {})
    digest = hashlib.sha256()
    for split in sources.splits:
        digest.update(_mapped(_partial(folder, split), arrays[split]).numpy().reshape(-1).data)
    for array in arrays:
        _partial(folder, array).replace(folder / f"{array}.npy")
    return Stamp(sources.version, digest.hexdigest()[:16], arrays, _listing(sources))


def _pack_split(folder: Path, split: str, shape: Shape, sources: Sources) -> int:
    """Append the parts that are still missing to the split's arrays; its number of rows."""
    state, parts = folder / "progress.json", sources.splits[split]
    progress: dict[str, Any] = json.loads(state.read_text(encoding="utf-8")) if state.is_file() else {}
    done, rows, listed = progress.get(split, (0, 0, ""))
    arrays = {_partial(folder, split): shape} | ({_partial(folder, f"{split}_labels"): ()} if sources.labelled else {})
    digest = _digest(sources.version, parts[:done])
    kept = all(path.is_file() and path.stat().st_size >= _bytes((rows, *row)) for path, row in arrays.items())
    if digest.hexdigest() != listed or not kept:
        done, rows, digest = 0, 0, _digest(sources.version, ())
    for part in parts[done:]:
        block = part.read()
        for (path, row), values in zip(arrays.items(), block, strict=False):
            assert values is not None
            _append(path, (rows, *row), values)
        done, rows = done + 1, rows + len(block[0])
        digest.update(part.listed)
        write_json(state, progress | {split: (done, rows, digest.hexdigest())})
    return rows


def _partial(folder: Path, array: str) -> Path:
    return folder / f"{array}.npy.partial"


def _append(path: Path, shape: Shape, values: NDArray[Any]) -> None:
    """Put the values behind an array of that shape; whatever else a killed process wrote there goes."""
    path.touch()
    with path.open("r+b") as file:
        file.truncate(_bytes(shape))
        file.seek(0, os.SEEK_END)
        file.write(np.ascontiguousarray(values).data)
        file.seek(0)
        file.write(_header((shape[0] + len(values), *shape[1:])))
        file.flush()
        os.fsync(file.fileno())


def _mapped(path: Path, shape: Shape) -> Tensor:
    """The array in a file, which is copied where it is written to and nowhere else; UsageError if it is another."""
    again = f"remove {path.parent} to pack again"
    try:
        with path.open("rb") as file:
            held, size = os.fstat(file.fileno()).st_size, _bytes(shape)
            if held != size or file.read(HEADER) != _header(shape):
                raise UsageError(f"{path}: its {held} bytes are not the {size} of {shape} in stamp.json; {again}")
            access = mmap.PROT_READ | mmap.PROT_WRITE
            pages = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE | NO_RESERVE, prot=access)
    except OSError as error:
        raise UsageError(f"{path}: cannot be mapped ({error.strerror}); {again}") from error
    return torch.from_numpy(np.frombuffer(pages, _dtype(shape), offset=HEADER).reshape(shape))


def _dtype(shape: Shape) -> str:
    return "|u1" if len(shape) > 1 else "<i8"


def _bytes(shape: Shape) -> int:
    """Size of the file of an array: images, uint8, or labels, int64."""
    return HEADER + math.prod(shape) * np.dtype(_dtype(shape)).itemsize


def _header(shape: Shape) -> bytes:
    """The start of a .npy file, version 1.0, always of one length, so that it can be rewritten as rows come."""
    text = repr({"descr": _dtype(shape), "fortran_order": False, "shape": shape})
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", HEADER - 10) + text.ljust(HEADER - 11).encode() + b"\n"
