"""Arrays beside the records. A file that cannot be read costs its panel and is named on the page, nothing more."""

import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import one_line
from bench.records.reading import utf8
from bench.records.records import run_folder
from bench.records.seal import read_arrays
from bench.report.incidents import LOST, kind
from bench.report.sections import Section, listed
from bench.report.style import Look

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


class Exhibit(NamedTuple):
    """The arrays of one variant that a figure draws: those of the lowest seed that has them."""

    variant: str
    label: str
    look: Look
    seed: int
    arrays: "dict[str, Array]"


class Artefacts:
    """Reads root/runs/<run_id>/<stage>.npz and remembers, in `unreadable`, what it could not read and why."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.unreadable: dict[str, str] = {}
        self._read: dict[Path, dict[str, Array]] = {}

    def arrays(self, run_id: str, stage: str) -> "dict[str, Array]":
        """All arrays of a stage; none where there is no readable file."""
        path = run_folder(self.root, run_id) / f"{stage}.npz"
        if path not in self._read:
            self._read[path] = {}
            try:
                self._read[path] = read_arrays(path)
            except FileNotFoundError:
                pass
            except UNREADABLE as error:
                self.unreadable[utf8(str(path.relative_to(self.root)))] = one_line(error)
        return self._read[path]

    def exhibits(self, section: Section, stage: str, dimensions: Mapping[str, int]) -> list[Exhibit]:
        """One exhibit a variant whose record of the stage is good and whose file holds the named arrays.

        Args:
            dimensions: the number of axes by name of array, which tells points from images.
        """
        frame = section.frame
        good = frame[(frame.stage == stage) & (frame.status == "ok")].drop_duplicates("run_id")
        found = []
        for variant, label in section.labels.items():
            runs = good[good.variant == variant].sort_values("seed")
            for run_id, seed in zip(runs.run_id, runs.seed, strict=True):
                arrays = self.arrays(run_id, stage)
                if all(name in arrays and arrays[name].ndim == axes for name, axes in dimensions.items()):
                    found.append(Exhibit(variant, label, section.looks[variant], int(seed), arrays))
                    break
        return found


def absent(section: Section, shown: Iterable[Exhibit], stage: str) -> str:
    """What a figure says of the variants that it lacks because of what befell them in a stage; nothing of none."""
    drawn = {exhibit.variant for exhibit in shown}
    told = []
    for variant, label in section.labels.items():
        incidents = section.incidents_at(variant, stage) if variant not in drawn else []
        if incidents:
            words = [kind(i.error) if i.status == LOST else i.status for i in incidents]
            told.append(f"{label} ({', '.join(dict.fromkeys(words))})")
    return f" Not drawn: {listed(told)}." if told else ""
