"""Arrays in .npy files that may be larger than memory: made whole at once, filled row by row, then mapped.

Images are uint8 of shape (N, 3, S, S), labels int64 of shape (N,). The header always has one length, so a file's size
follows from its shape.
"""

import math
import mmap
import os
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.errors import UsageError
from bench.records.disk import shortage

HEADER = 128  # bytes before the values of a .npy file; the format wants a multiple of 64
# with numpy's mmap_mode="c" the kernel sets memory aside for the whole file, and refuses one larger than the memory
NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)

Shape = tuple[int, ...]


def allocate(path: Path, shape: Shape) -> None:
    """Make the file of an array of zeros; nothing is written to the disk but its header."""
    with path.open("wb") as file:
        file.write(header(shape))
        file.truncate(size_of(shape))


def write_rows(path: Path, rows: NDArray[np.int64], values: NDArray[Any]) -> None:
    """Write values[i] into row rows[i] of the array in a file, and force them to the disk.

    Ordinary writes report a full disk (NoSpace); a write to a mapped file would end the process.
    """
    values = np.ascontiguousarray(values)
    try:
        with path.open("r+b") as file:
            for i in np.argsort(rows):
                file.seek(HEADER + int(rows[i]) * values[0].nbytes)
                file.write(values[i].tobytes())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if complaint := shortage(error, path):
            raise complaint from error
        raise


def is_whole(path: Path, shape: Shape) -> bool:
    """Whether the file of an array has the size of that shape."""
    return path.is_file() and path.stat().st_size == size_of(shape)


def mapped(path: Path, shape: Shape) -> Tensor:
    """The array in a file, copied only where it is written to; UsageError if its shape or type is another."""
    again = f"remove {path.parent} to pack again"
    try:
        with path.open("rb") as file:
            held, size = os.fstat(file.fileno()).st_size, size_of(shape)
            if held != size or file.read(HEADER) != header(shape):
                raise UsageError(f"{path}: its {held} bytes are not the {size} of {shape} in stamp.json; {again}")
            access = mmap.PROT_READ | mmap.PROT_WRITE
            pages = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE | NO_RESERVE, prot=access)
    except OSError as error:
        raise UsageError(f"{path}: cannot be mapped ({error.strerror}); {again}") from error
    return torch.from_numpy(np.frombuffer(pages, _dtype(shape), offset=HEADER).reshape(shape))


def size_of(shape: Shape) -> int:
    """Bytes of the file of an array."""
    return HEADER + math.prod(shape) * np.dtype(_dtype(shape)).itemsize


def header(shape: Shape) -> bytes:
    """The start of the .npy file, version 1.0, of an array."""
    text = repr({"descr": _dtype(shape), "fortran_order": False, "shape": shape})
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", HEADER - 10) + text.ljust(HEADER - 11).encode() + b"\n"


def _dtype(shape: Shape) -> str:
    return "|u1" if len(shape) > 1 else "<i8"
