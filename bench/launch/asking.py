"""Slurm's own commands asked: which jobs are alive, and how those ended that are not."""

import os
import shutil
import subprocess
import time
from collections.abc import Collection

from bench.errors import UsageError
from bench.launch.surroundings import environment

LAG = 6.0  # seconds that sacct may be behind
QUEUED = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT")
ALIVE = (*QUEUED, "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "RESIZING")


def require(program: str) -> None:
    if shutil.which(program) is None:
        raise UsageError(f"--cluster slurm: {program} is not on PATH; is this a machine of a Slurm cluster?")


def ask(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, env=environment(), capture_output=True, encoding="utf-8", errors="replace")


def alive() -> dict[tuple[str, str], tuple[str, str]] | None:
    """This user's live jobs: (id, name) to (state, reason); None on a machine without Slurm."""
    if shutil.which("squeue") is None:
        return None
    answer = ask("squeue", f"--user={os.getuid()}", "--noheader", "--array", "--format=%i|%T|%r|%j")
    if answer.returncode:
        raise UsageError(f"squeue: {' '.join(answer.stderr.split())}")
    rows = [line.split("|", 3) for line in answer.stdout.splitlines()]
    return {(job, name): (state, reason.replace("None", "")) for job, state, reason, name in rows}


def ends(jobs: Collection[str]) -> dict[str, str]:
    """How jobs that have left the queue ended, as far as accounting knows."""
    deadline = time.monotonic() + LAG
    try:
        states = _accounting(jobs)
        while any(states.get(job, ("PENDING",))[0] in ALIVE for job in jobs) and time.monotonic() < deadline:
            time.sleep(LAG / 10)
            states = _accounting(jobs)
    except (OSError, subprocess.CalledProcessError):  # a cluster without accounting
        return {}
    ended = {job: end for job, end in states.items() if end[0] not in ALIVE}
    return {job: f"ended as {state} (exit code {code})" for job, (state, code) in ended.items()}


def _accounting(jobs: Collection[str]) -> dict[str, tuple[str, str]]:
    """Job id to (state, exit code); tasks of a cancelled array that never started share a row, 12_[3-9]."""
    arrays = ",".join(sorted({job.split("_")[0] for job in jobs}))
    answer = ask("sacct", "-nPX", "--format=JobID,State,ExitCode", f"--jobs={arrays}")
    answer.check_returncode()
    known = {job: (state, code) for job, state, code in (line.split("|") for line in answer.stdout.splitlines())}
    pending = {job.split("_")[0]: end for job, end in known.items() if "_[" in job}
    ends = {job: known.get(job) or pending.get(job.split("_")[0]) for job in jobs}
    return {job: end for job, end in ends.items() if end}
