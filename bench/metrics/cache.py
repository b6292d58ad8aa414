"""Files that are made once, however many processes want them.

The first process makes them under a lock while the others wait; a file that is there but cannot be read (a
full disk, a killed copy) is made again.
"""

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.locks import locked


def once(paths: Sequence[Path], make: Callable[[], None]) -> None:
    """See to it that the torch files `paths` are there and whole, else `make` them in one process only."""
    if all(map(intact, paths)):
        return
    with locked(paths[0].with_suffix(".lock")):
        if not all(map(intact, paths)):
            for path in paths:
                path.unlink(missing_ok=True)
            make()


def intact(path: Path) -> bool:
    """Whether `path` is a file of torch.save (a zip archive) and all its checksums hold."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError):
        return False
