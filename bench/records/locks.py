"""Locks that one process holds at a time, on whatever file system the results lie.

Where the file system has flock, the kernel frees a lock with its process. Where it has none, a file with the holder's
host and process id is the lock: one whose process has ended on this host is taken over; one of another host that was
killed stays until FILE.held is removed by hand.
"""

import errno
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock

WITHOUT_FLOCK = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[bool]:
    """Hold an exclusive lock on a file, freed even by a kill; yields whether it was got (always, if it may wait).

    OSError if the folder cannot be written to.
    """
    from filelock import Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = _acquired(path, wait)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _acquired(path: Path, wait: bool) -> "BaseFileLock":
    from filelock import FileLock, SoftFileLock

    # Who may write in the folder may hold its locks, whatever the umask of the one who came first. FileLock takes no
    # mode without the owner's share: in a read-only folder the error is to come of the folder.
    mode = path.parent.stat().st_mode & 0o666 | 0o600
    timeout = -1 if wait else 0
    try:
        lock: BaseFileLock = FileLock(path, mode=mode)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the fallback, which is meant
            lock.acquire(timeout=timeout)
    except OSError as error:
        if error.errno not in WITHOUT_FLOCK:
            raise
        lock = SoftFileLock(path.with_name(path.name + ".held"))
        lock.acquire(timeout=timeout)
    return lock
