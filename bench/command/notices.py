"""What the command says beside its work: stale, lost and failed runs, idle cores, and what was submitted."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.config.suite import Run
from bench.launch.invocation import again
from bench.records import records, retries, underway
from bench.records.standing import Stands

if TYPE_CHECKING:
    from bench.launch.job import Job


def say_stale(stands: Stands) -> None:
    """Name the records that are not of today's settings, source or inputs."""
    for run_id, stages in stands.items():
        reasons: dict[str, list[str]] = {}
        for stage, found in stages.items():
            if found.state == "stale":
                reasons.setdefault(found.reason, []).append(stage)
        for reason, names in reasons.items():
            print(f"stale: {run_id} {', '.join(names)}: {reason}")
        if (train := stages.get("train")) and train.older_curve and train.state == "done":
            print(f"left out: {run_id}: its curve was measured under another evaluation; it is not trained again")


def say_unfinished(root: Path, stands: Stands) -> None:
    """Say how much of the suite the report is of, unless that is all; trainings under way are named."""
    complete = sum(all(found.state == "done" for found in stages.values()) for stages in stands.values())
    if complete < len(stands):
        print(f"unfinished: the report is of {complete} of {len(stands)} runs, and of what others have so far")
        for run_id, stages in stands.items():
            if stages["train"].state == "missing" and (where := underway.where(root, run_id)):
                print(f"  {run_id}  {where}")


def say_lost(stands: Stands) -> None:
    """Name the measurements of finished runs that have a reason in place of a value."""
    count = 0
    for run_id, stages in stands.items():
        for (stage, reason), metrics in retries.lost(stages).items():
            print(f"lost: {run_id}: {stage} {', '.join(dict.fromkeys(metrics))}: {reason}")
            count += len(metrics)
    if count:
        print(f"{count} measurement{'s' * (count > 1)} lost; --retry measures {'them' if count > 1 else 'it'} again")


def say_failures(root: Path, failures: Mapping[str, str], runs: Sequence[Run]) -> int:
    """Name the failed runs; the exit code, which a trial does not count for: it is a loss of what it tried alone."""
    trials = {run.run_id for run in runs if run.trial}
    for run_id, error in failures.items():
        kind = "trial failed" if run_id in trials else "failed"
        print(f"{kind}: {run_id}: {error} (log: {records.run_folder(root, run_id) / 'log.txt'})")
    if failures:
        print(f"{len(failures)} failed; --retry runs them again")
    return 1 if failures.keys() - trials else 0


def idle_cores(options: argparse.Namespace, jobs: Sequence["Job"]) -> str:
    from bench.training.cores import cores

    used, count = len(jobs) * jobs[0].ranks, cores()
    if options.workers is not None or jobs[0].device != "cpu" or 2 * used > count:
        return ""
    return f"; {used} of {count} cores at work: --workers {len(jobs)} gives each run {count // used} threads"


def say_submitted(ids: Sequence[str]) -> None:
    arrays = ", ".join(dict.fromkeys(i.split("_")[0] for i in ids))
    print(f"submitted {len(ids)} tasks" + (f" as Slurm job {arrays}" if ids else ": all are queued or running already"))


def say_how_to_follow(options: argparse.Namespace) -> None:
    print(f"follow:  {again(options, '--status')}")
    print(f"collect: {again(options, '--report')}")
