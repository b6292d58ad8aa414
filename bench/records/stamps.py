"""The stamp of a file, by which it is known to be the one that was read: inode, size and times."""

import os
import stat
import time
from pathlib import Path

Stamp = tuple[int, int, int, int]  # inode, bytes, times of the last change and of the last of the inode in ns
SETTLED = 3.0  # seconds within which a clock may give two changes the same time


def stamp_of(path: str | Path) -> Stamp | None:
    """Of a file as it is opened: a network file system looks again then. None if there is no file, or a pipe."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        found = os.fstat(file)
    finally:
        os.close(file)
    if not stat.S_ISREG(found.st_mode):
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def is_settled(stamp: Stamp) -> bool:
    """Whether a further change of the file would have another stamp."""
    return time.time() - max(stamp[2:]) / 1e9 > SETTLED
