"""The finished parts of a stage under way, so that a restart repeats at most one batch of one of them.

    partial-<fingerprint>-<stage>/<part>.part.npz        what a part has measured
    partial-<fingerprint>-<stage>/<batch>.npz            batches of the part that is under way

Files are sealed and written whole or not at all; one that is damaged is set aside and made again. A batch is kept by
whichever rank has made it, if that took longer than keeping it does; the main rank keeps the parts. The folder goes
once the stage has a record in which nothing is lost: what is lost can then be measured without the rest.
"""

import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bench.config.names import safe_name
from bench.records.locks import locked
from bench.records.seal import read_arrays, write_arrays

WORTH = 1.0  # seconds that a batch must have taken

Arrays = dict[str, Any]
Log = Callable[[str], None]


def clear_all(run: Path, stage: str = "*", but: Path | None = None) -> None:
    """Forget the parts of all evaluations of a stage (of all stages) that a run's folder holds, but for one folder."""
    for folder in run.glob(f"partial-*-{stage}"):
        if folder != but:
            shutil.rmtree(folder, ignore_errors=True)


def clear_finished(run: Path, stages: Iterable[str]) -> None:
    """Forget the parts of stages that have their records, which a kill between the two left; not of a run at work."""
    left = [stage for stage in stages if any(run.glob(f"partial-*-{stage}"))]
    if left:
        with locked(run / "lock", wait=False) as mine:
            for stage in left if mine else ():
                clear_all(run, stage)


def _file_of(part: str) -> str:
    return f"{safe_name(part)}.part.npz"


class Unfinished:
    """Parts in a folder of their own; without a folder nothing is kept."""

    def __init__(self, folder: Path | None = None, log: Log = lambda text: None) -> None:
        self.folder, self.log = folder, log
        self._batches: list[Path] = []

    def once(self, name: str, make: Callable[..., Arrays], *arguments: int) -> Arrays:
        """The batch of that name: as it was left before a restart, else made now."""
        if self.folder is None:
            return make(*arguments)
        path = self.folder / f"{safe_name(name)}.npz"
        found = self._read(path)
        if found is None:
            begun = time.perf_counter()
            found = make(*arguments)
            if time.perf_counter() - begun <= WORTH:
                return found
            write_arrays(path, found, compressed=False)
        self._batches.append(path)
        return found

    def part(self) -> "Unfinished":
        return Unfinished(self.folder, self.log)

    def kept(self, name: str) -> Arrays | None:
        return self._read(self.folder / _file_of(name)) if self.folder else None

    def keep(self, name: str, found: Arrays) -> None:
        if self.folder:
            write_arrays(self.folder / _file_of(name), found, compressed=False)

    def drop_batches(self) -> None:
        """Forget this rank's batches of a part that is kept."""
        for path in self._batches:
            path.unlink(missing_ok=True)
        self._batches.clear()

    def _read(self, path: Path) -> Arrays | None:
        try:
            return read_arrays(path)
        except FileNotFoundError:
            return None
        except ValueError as error:
            aside = path.with_suffix(".corrupt")
            path.replace(aside)
            self.log(f"{path.parent.name}/{path.name} cannot be used ({error}); kept as {aside.name}, made again")
            return None
