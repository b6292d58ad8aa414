"""What has become of the runs that were submitted to Slurm, and an end for those that died there.

A submission leaves root/runs/<run_id>/slurm.json with the id of its job. `squeue` says which jobs are alive
and is always asked first: a job that lost its node or was preempted is in the queue again while `sacct` calls
it dead. Only a run whose job has left the queue without a record is lost; `sacct` then gives the reason.
"""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import pydantic.dataclasses

from bench.config.settings import Stage
from bench.config.suite import Run
from bench.errors import UsageError
from bench.launch import Outcome
from bench.launch.asking import QUEUED, alive, ends, require
from bench.launch.progress import Progress
from bench.launch.task import RANK_ERROR
from bench.records import records
from bench.records.aside import set_aside
from bench.records.disk import DENIED, NO_SPACE
from bench.records.index import stands_of
from bench.records.seal import read_json, write_json
from bench.records.standing import Standing

POLL = 10.0  # most seconds between two looks at the queue


@dataclass(frozen=True)
class SlurmState:
    """Where a run stands, its last Slurm job, and why it waits or failed; "lost" is what that job should have left.

    `stands` says by stage what the run has, as it was looked at.
    """

    status: Literal["queued", "running", "ok", "failed", "stale", "missing", "lost"]
    job: str | None = None
    reason: str = ""
    stands: Mapping[Stage, Standing] = field(default_factory=dict, compare=False)


@pydantic.dataclasses.dataclass(frozen=True)
class Submission:
    """A run's place in Slurm: its job, whose name is kept since ids start again on a rebuilt cluster.

    `log` is the job's standard error, relative to the folder of the suite; `asked` is what the run was then (`asked`),
    `when` the time as records have it, "" in older submissions.
    """

    job: str
    name: str
    log: str
    asked: str = ""
    when: str = ""

    @staticmethod
    def path(root: Path, run: Run) -> Path:
        """Where it is kept; whoever removes it says that its job has ended."""
        return records.run_folder(root, run.run_id) / "slurm.json"

    def write(self, root: Path, run: Run) -> None:
        write_json(self.path(root, run), asdict(self))

    @classmethod
    def read(cls, root: Path, run: Run) -> "Submission | None":
        """The submission of a run, None if there is none; UsageError if it is not sound."""
        path = cls.path(root, run)
        try:
            return cls(**read_json(path))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, OSError) as error:
            words = " ".join(str(error).split())[:200]
            raise UsageError(f"{path}: not a submission ({words}); remove it if its job has ended") from error


def status(root: Path, runs: Sequence[Run]) -> dict[str, SlurmState]:
    """State of every run by its id; one that Slurm has lost is "lost" until `collect` records it."""
    submissions: dict[str, Submission | None] = {}
    unsound: dict[str, SlurmState] = {}
    for run in runs:
        try:
            submissions[run.run_id] = Submission.read(root, run)
        except UsageError as error:  # a run whose records are whole stands on them
            submissions[run.run_id], unsound[run.run_id] = None, SlurmState("failed", None, str(error))
    queue = alive() if any(submissions.values()) else {}
    for run in runs:
        # Listing a folder makes a network file system look again for files it remembers as absent.
        with suppress(FileNotFoundError):
            os.listdir(records.run_folder(root, run.run_id))
    stands = stands_of(root, runs)
    states = {run.run_id: _state(root, run, submissions[run.run_id], queue, stands[run.run_id]) for run in runs}
    states |= {run_id: state for run_id, state in unsound.items() if states[run_id].status != "ok"}
    return {run_id: replace(state, stands=stands[run_id]) for run_id, state in states.items()}


def collect(root: Path, runs: Sequence[Run]) -> dict[str, SlurmState]:
    """`status`, after every run that Slurm has lost was given a failed record that says how it ended."""
    states = status(root, runs)
    lost = [run for run in runs if states[run.run_id].status == "lost"]
    if not lost:
        return states
    ended = ends({str(states[run.run_id].job) for run in lost})
    states |= status(root, lost)  # what was on its way back into the queue has arrived by now
    for run in lost:
        submission = Submission.read(root, run)
        if submission and states[run.run_id].status == "lost":
            end = f"Slurm job {submission.job} {ended.get(submission.job, 'left the queue without a record')}"
            reason = records.run_folder(root, run.run_id) / RANK_ERROR
            if "FAILED" in end and reason.exists():  # of a rank, and the main one was killed before it saw it
                error = f"{reason.read_text(encoding='utf-8')} ({end})"
            else:
                error = f"{end}{_last_words(root / submission.log)}"
            if NO_SPACE in error:  # which says nothing of the run: it goes on when there is room
                states[run.run_id] = replace(states[run.run_id], status="missing", reason=error)
                continue
            try:
                if states[run.run_id].stands["train"].state == "stale":
                    set_aside(root, run)  # as its job would have done
                records.fail(root, run, error)
            except OSError as denied:
                if denied.errno not in DENIED:  # of others' results one may still ask
                    raise
            states[run.run_id] = SlurmState("failed", submission.job, error, records.stands(root, run))
    return states


def wait(root: Path, runs: Sequence[Run], poll: float = POLL) -> list[Outcome]:
    """Follow submitted runs until none is queued or running; outcomes come in the order of the runs.

    The queue is looked at every second at first, every `poll` seconds later. An outcome's seconds count from when
    its run was first seen running.
    """
    require("squeue")
    outcomes: dict[str, Outcome] = {}
    start = time.monotonic()
    seen: dict[str, float] = {}
    with Progress(len(runs)) as progress:
        while left := [run for run in runs if run.run_id not in outcomes]:
            try:
                states = collect(root, left)
            except UsageError as unanswered:  # a controller that restarts is back in a while
                progress.say(f"{unanswered}; asking again")
                states = {}
            for run_id, state in states.items():
                if state.status == "running":
                    seen.setdefault(run_id, time.monotonic())
                    progress.show(run_id, f"Slurm job {state.job}")
                elif state.status == "queued":
                    progress.hide(run_id)
                else:
                    gone = f"Slurm job {state.job} left the queue without a record" if state.job else "not submitted"
                    error = None if state.status == "ok" else state.reason or gone
                    seconds = time.monotonic() - seen.get(run_id, start)
                    outcomes[run_id] = Outcome(run_id, "failed" if error else "ok", seconds, error)
                    progress.end(outcomes[run_id])
            if queued := [state.reason for state in states.values() if state.status == "queued"]:
                progress.show("queued", f"{len(queued)} runs {' '.join(sorted(set(queued)))}")
            else:
                progress.hide("queued")
            if len(outcomes) < len(runs):
                time.sleep(min(poll, 1 + (time.monotonic() - start) / 20))
    return [outcomes[run.run_id] for run in runs]


def _state(
    root: Path,
    run: Run,
    submission: Submission | None,
    queue: dict[tuple[str, str], tuple[str, str]] | None,
    stands: Mapping[Stage, Standing],
) -> SlurmState:
    job = submission.job if submission else None
    left = {stage: found for stage, found in stands.items() if found.state != "done"}
    # Even what is done may be in the queue: a student whose teacher is trained anew.
    if submission and queue and (submission.job, submission.name) in queue:
        slurm, reason = queue[submission.job, submission.name]
        return SlurmState("queued", job, reason) if slurm in QUEUED else SlurmState("running", job)
    if not left:
        return SlurmState("ok", job)
    if submission and queue is None:
        return SlurmState("queued", job, "no squeue here to ask")
    if error := next((found.reason for found in left.values() if found.state == "failed"), None):
        return SlurmState("failed", job, error)
    # A job that left a record, though of older code, or that was not asked for one, has lost none; and no record that
    # is asked for again, thus good, is to be replaced by a failed one.
    when = submission.when if submission and submission.asked in ("", asked(run)) else None
    if when is not None:
        record = records.read_stage(root, run.run_id, next(iter(left)))
        if record is None or (str(record.get("finished")) < when and not record.get("again")):
            return SlurmState("lost", job)
    return SlurmState("stale" if any(found.state == "stale" for found in left.values()) else "missing", job)


def asked(run: Run) -> str:
    """All that a run is to measure: another evaluation is not what an earlier job was for."""
    return " ".join(run.fingerprint(stage) for stage in run.stages)


def _last_words(log: Path, lines: int = 3) -> str:
    """The last lines of a job's standard error, for a failed record's one line."""
    if not log.exists():
        return ""
    tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-50:]
    words = [line.strip() for line in tail if line.strip()]
    return f": {' | '.join(words[-lines:])}" if words else ""
