"""Runs that need another one first: a student and its teacher (`Run.needs`)."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from bench.config.suite import Run
from bench.errors import UsageError
from bench.records import records


def with_students(todo: Sequence[Run], runs: Sequence[Run]) -> list[Run]:
    """The runs to do and those of `runs` that need one of them, which is to be another one then."""
    ids = {run.run_id for run in todo}
    while more := {run.run_id for run in runs if ids.intersection(run.needs)} - ids:
        ids |= more
    known = {run.run_id: run for run in [*runs, *todo]}
    return [run for run_id, run in known.items() if run_id in ids]


def without_orphans(todo: Sequence[Run], failures: Mapping[str, str]) -> tuple[list[Run], dict[str, str]]:
    """The runs to do without those whose teacher has failed, and all failures with theirs."""
    lost = dict(failures)
    while more := [run for run in todo if run.run_id not in lost and any(need in lost for need in run.needs)]:
        lost |= {run.run_id: f"its teacher {run.needs[0]} has failed: {lost[run.needs[0]]}" for run in more}
    return [run for run in todo if run.run_id not in lost], lost


def check(root: Path, todo: Collection[Run]) -> None:
    """UsageError for a run that needs one which neither is trained nor will be."""
    ids = {run.run_id for run in todo}
    for run in todo:
        for need in set(run.needs) - ids:
            record = records.read_stage(root, need, "train")
            if record is None or record["status"] != "ok":
                raise UsageError(
                    f"{run.run_id}: its teacher {need} is not trained in {root} and is not among the runs; "
                    "name its baseline and its seed, too"
                )


def waves(todo: Sequence[Run]) -> list[list[Run]]:
    """The runs in an order in which each wave needs earlier ones alone."""
    left, found = list(todo), list[list[Run]]()
    while left:
        ids = {run.run_id for run in left}
        found.append([run for run in left if not ids.intersection(run.needs)])
        left = [run for run in left if ids.intersection(run.needs)]
    return found
