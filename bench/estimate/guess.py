"""How many evaluations an adaptive solver will take of a field that is not trained yet: a guess, and what it is of.

A method of order 5 makes steps in proportion to the fifth root of its tolerance, so N evaluations at 1e-5 are

    N (rtol / 1e-5)^(-1/5)

at another. N is the mean of the finished runs of the same cell, if there are any; else about the median of the runs
in results/reference.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from bench.config.settings import Stage
from bench.config.suite import Run
from bench.records.reading import read_record
from bench.records.records import record_path

USUAL = {"points": 60.0, "images": 90.0}
TIGHT, ORDER = 1e-5, 5
OF: dict[Stage, str] = {"likelihood": "nfe_likelihood", "samples": "nfe_sampling"}


@dataclass(frozen=True)
class Guess:
    """Evaluations at tolerance 1e-5 of a solve of the likelihood and of one for samples; `runs` that told them."""

    likelihood: float
    samples: float
    runs: int = 0

    def of(self, stage: Stage, rtol: float) -> float:
        tight = self.likelihood if stage == "likelihood" else self.samples
        return float(tight * (rtol / TIGHT) ** (-1 / ORDER))


def guess(root: Path, finished: Iterable[Run], is_image: bool) -> Guess:
    """What finished runs of a cell have taken, else what is usual of such data."""
    usual = USUAL["images" if is_image else "points"]
    runs = list(finished)
    found = {stage: [nfe for run in runs for nfe in _taken(root, run, stage)] for stage in OF}
    likelihood, samples = (fmean(found[stage]) if found[stage] else usual for stage in OF)
    return Guess(likelihood, samples, len(runs) if any(found.values()) else 0)


def _taken(root: Path, run: Run, stage: Stage) -> list[float]:
    record = read_record(record_path(root, run.run_id, stage))
    rows = record["measurements"] if record and record["status"] == "ok" else []
    adaptive = [row for row in rows if row["metric"] == OF[stage] and row["settings"].get("rtol")]
    values = [(row["value"], row["settings"]["rtol"]) for row in adaptive if not row.get("reason")]
    return [value * (rtol / TIGHT) ** (1 / ORDER) for value, rtol in values if value]
