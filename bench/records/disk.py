"""A full disk in the words of its user: `no space left on DEVICE for FILE`, whichever library met it."""

import errno
import os
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)
NO_SPACE = "no space left on"
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)  # it may be read, and not written


class NoSpace(OSError):
    """A disk is full. What was being written is absent, what was there before is whole, and a later call goes on."""


def shortage(error: BaseException, path: Path) -> NoSpace | None:
    """The complaint if a full disk is behind the error of writing `path`, else None."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, NoSpace):
            return seen
        if isinstance(seen, OSError) and seen.errno in FULL:
            return _complaint(Path(seen.filename) if isinstance(seen.filename, str) else path)
        seen = seen.__cause__ or seen.__context__
    # torch says "unexpected pos 64 vs 0" for whatever kept it from writing.
    if isinstance(error, RuntimeError) and "unexpected pos" in f"{error}":
        disk = os.statvfs(path.parent)
        return _complaint(path) if disk.f_bavail * disk.f_frsize < 1 << 16 else None
    return None


def _complaint(path: Path) -> NoSpace:
    return NoSpace(f"{NO_SPACE} {_device(path)} for {path}")


def _device(path: Path) -> str:
    """ "/dev/sda1 (/scratch)": what is mounted, and where."""
    place = path.absolute()
    while not os.path.ismount(place):
        place = place.parent
    try:
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
        return next(f"{name} ({place})" for name, where, *_ in reversed(mounts) if where == str(place))
    except (OSError, ValueError, StopIteration):
        return str(place)
