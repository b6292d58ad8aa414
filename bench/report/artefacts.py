"""Arrays beside the records. A file that cannot be read costs its panel and is named on the page, nothing more."""

import zipfile
import zlib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.errors import UsageError, one_line
from bench.records.reading import utf8
from bench.records.records import run_folder
from bench.records.seal import read_arrays
from bench.report.extract import listed
from bench.report.incidents import LOST, kind
from bench.report.sections import Section
from bench.report.style import Look

UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)
# The stage that keeps an array. Points are kept in half precision, images as uint8 (n, H, W, C); T are times.
STAGE_OF = {
    "samples": "samples",  # points (n, d) or images
    "data": "samples",  # held-out, as many and of the same shape
    "given": "samples",  # what each sample is given, as images
    "snapshots": "samples",  # images on their way from noise (T, n, H, W, C)
    "snapshot_times": "samples",
    "trajectories": "samples",  # points on their way from noise (T, n, 2)
    "times": "samples",  # of `trajectories`
    "extent": "samples",  # half the side of the square that shows the data
    "conditional_target": "samples",  # the data point x1 (2,) of a conditional path
    "conditional_paths": "samples",  # noise on its way to x1 (T, n, 2)
    "conditional_times": "samples",  # of `conditional_paths`
    "conditional_fields": "samples",  # the field u_t(x | x1) on a grid (T, k, k, 2)
    "conditional_field_times": "samples",
    "log_densities": "likelihood",  # log p_t on a grid of the square (T, k, k), rows by the second coordinate
    "density_times": "likelihood",
    "samples_*_*": "sweep",  # by a sampler at so many evaluations
}


def stage_of(name: str) -> str:
    """The stage whose file holds an array; UsageError for a name that no stage keeps."""
    for pattern, stage in STAGE_OF.items():
        if fnmatchcase(name, pattern):
            return stage
    raise UsageError(f"no stage keeps an array {name!r}; known: {', '.join(STAGE_OF)}")


class Exhibit(NamedTuple):
    """The arrays of one variant that a figure draws: those of the lowest seed that has them."""

    variant: str
    label: str
    look: Look
    seed: int
    arrays: dict[str, np.ndarray]

    @property
    def extent(self) -> float:
        """Half the side of the square that is drawn."""
        if float(self.arrays.get("extent", 0.0)) > 0:
            return float(self.arrays["extent"])
        points = next((array for array in self.arrays.values() if array.ndim >= 2), np.ones(1))
        return float(np.nanquantile(abs(points.astype(float)), 0.99)) or 1.0


class Artefacts:
    """Reads root/runs/<run_id>/<stage>.npz and remembers, in `unreadable`, what it could not read and why."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.unreadable: dict[str, str] = {}
        self._read: dict[Path, dict[str, np.ndarray]] = {}

    def arrays(self, run_id: str, stage: str) -> dict[str, np.ndarray]:
        """All arrays of a stage; none if there is no readable file."""
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
        """One a variant whose good record has the arrays; `dimensions`, their axes, tell points from images."""
        frame = section.frame
        good = frame[(frame.stage == stage) & (frame.status == "ok")].drop_duplicates("run_id").sort_values("seed")
        found = []
        for variant, label in section.labels.items():
            runs = good[good.variant == variant]
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
        if variant not in drawn and (incidents := section.incidents_at(variant, stage)):
            words = [kind(i.error) if i.status == LOST else i.status for i in incidents]
            told.append(f"{label} ({', '.join(dict.fromkeys(words))})")
    return f" Not drawn: {listed(told)}." if told else ""
