"""Where runs are worked on: worker processes of this machine (`local`) or one Slurm array (`slurm`, `queue`).

A launcher decides where and when a job runs, never what it does. A run that dies with its process ends as a
failed record, so that a bad run costs itself alone. Of every run a launcher hands back an `Outcome`.
"""

from dataclasses import dataclass
from typing import Literal

GRACE = 60.0  # seconds a stopping run has to finish its step and save a checkpoint


@dataclass(frozen=True)
class Outcome:
    """How one run ended; `seconds` of work on it, `error` in one line."""

    run_id: str
    status: Literal["ok", "failed"]
    seconds: float
    error: str | None = None
