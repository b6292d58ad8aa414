"""What has become of the runs that were submitted to Slurm, and an end for those that died there.

A submission leaves root/runs/<run_id>/slurm.json with the id of its job. `squeue` says which jobs are alive and is
always asked first: a job that lost its node or was preempted is in the queue again while `sacct` calls it dead.
Only a run whose job has left the queue without a record is lost; `sacct` then gives the reason.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from bench import records
from bench.errors import UsageError
from bench.launch import Outcome
from bench.launch.progress import Progress

if TYPE_CHECKING:
    from bench.suite import Run

POLL = 10.0  # seconds between two looks at the queue
ACCOUNTING_LAG = 6.0  # seconds that sacct may be behind


@dataclass(frozen=True)
class State:
    """Where a run stands, the Slurm job that has it or had it, and why it waits or failed."""

    status: Literal["queued", "running", "ok", "failed", "missing"]
    job: str | None = None
    reason: str = ""


class Submission(NamedTuple):
    """What slurm.json holds. Ids start again on a new cluster, so the job's name has to agree, too."""

    job: str
    name: str
    log: str  # standard error of the job, relative to the suite's folder


def submission_file(root: Path, run: "Run") -> Path:
    return root / "runs" / run.run_id / "slurm.json"


def status(root: Path, runs: Sequence["Run"]) -> dict[str, State]:
    """State of every run by its id. A lost run is "missing": only `collect` gives it a record."""
    submissions = {run.run_id: _submission(root, run) for run in runs}
    queue = _queue() if any(submissions.values()) else {}
    return {run.run_id: _state(root, run, submissions[run.run_id], queue) for run in runs}


def collect(root: Path, runs: Sequence["Run"]) -> dict[str, State]:
    """`status` after every lost run was given a failed record with what Slurm says about its end."""
    states = status(root, runs)
    lost = {
        run.run_id: submission
        for run in runs
        if states[run.run_id].status == "missing" and (submission := _submission(root, run))
    }
    if not lost:
        return states
    ends = _ends([submission.job for submission in lost.values()])
    states = status(root, runs)  # once more: what was being requeued is in the queue by now
    for run in runs:
        if run.run_id in lost and states[run.run_id].status == "missing":
            submission = lost[run.run_id]
            end = ends.get(submission.job, "has left the queue")
            error = f"Slurm job {submission.job} {end}{_last_words(root / submission.log)}"
            records.fail(root, run, error)
            states[run.run_id] = State("failed", submission.job, error)
    return states
