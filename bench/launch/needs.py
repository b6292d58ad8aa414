"""Runs that need others first: a student its teacher, and a run that is tuned its trials (`Run.needs`)."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from bench.config.suite import Run
from bench.errors import UsageError


def with_students(anew: Collection[str], runs: Sequence[Run]) -> set[str]:
    """Ids of runs that are trained anew and of those that need them, which may be others then, even if they failed."""
    found = set(anew)
    while more := {run.run_id for run in runs if found.intersection(run.needs)} - found:
        found |= more
    return found


def without_orphans(todo: Sequence[Run], untrained: Mapping[str, str]) -> tuple[list[Run], dict[str, str]]:
    """The runs to do without those whose teacher failed in its training, and why those are left out.

    A trial that failed is a loss of what it tried alone.
    """
    lost = dict(untrained)
    while more := [run for run in todo if run.run_id not in lost and any(need in lost for need in run.teachers)]:
        lost |= {run.run_id: f"its teacher {run.teachers[0]} has failed: {lost[run.teachers[0]]}" for run in more}
    orphans = {run.run_id: lost[run.run_id] for run in todo if run.run_id in lost}
    return [run for run in todo if run.run_id not in lost], orphans


def check(root: Path, todo: Collection[Run]) -> None:
    """UsageError for a run that needs one which neither is trained nor will be, or a file that is gone."""
    from bench.training.build import trained_run

    ids = {run.run_id for run in todo}
    for run in todo:
        teacher = run.baseline.options["teacher"] if run.teacher_sha256 else None
        for key, path in (("training.weights", run.training.weights), ("teacher", teacher)):
            if path and not Path(path).exists():
                raise UsageError(f"{run.run_id}: {key} = {path!r}: there is no such file or folder any more")
        for need in set(run.teachers) - ids:
            try:
                trained_run(root, need)
            except UsageError as error:
                raise UsageError(f"{run.run_id}: {error}, or name it and its seed, too") from None


def waves(todo: Sequence[Run]) -> list[list[Run]]:
    """The runs in an order in which each wave needs earlier ones alone."""
    left, found = list(todo), list[list[Run]]()
    while left:
        ids = {run.run_id for run in left}
        found.append([run for run in left if not ids.intersection(run.needs)])
        left = [run for run in left if ids.intersection(run.needs)]
    return found
