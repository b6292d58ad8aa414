"""The finished parts of a stage under way, so that a restart repeats at most one of them.

A part is a batch of one solve, in a file of its own in the run's folder: partial-<fingerprint>/<part>.npz, written
whole or not at all, by whichever rank has made it. The folder goes once the stage has its record. Parts that are made
faster than they are kept are not kept.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.files import write_atomic
from bench.names import safe_name

WORTH = 1.0  # seconds that a part must have taken

Arrays = dict[str, "np.ndarray[Any, Any]"]


class Partial:
    """Parts in a folder of their own; without a folder nothing is kept."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder

    def once(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """The part of that name: as it was left before a restart, else made now."""
        path = self.folder / (safe_name(name) + ".npz") if self.folder else None
        if path and path.exists():
            with np.load(path, allow_pickle=False) as file:
                return {key: file[key] for key in file.files}
        begun = time.perf_counter()
        part = make()
        if path and time.perf_counter() - begun > WORTH:
            write_atomic(path, lambda temporary: _save(temporary, part))
        return part

    def clear(self) -> None:
        """Forget all parts."""
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)


def _save(path: Path, part: Arrays) -> None:
    with path.open("wb") as file:
        np.savez(file, **part)  # type: ignore[arg-type]
