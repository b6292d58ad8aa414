"""What the trials of a run that is tuned have chosen, as their records stand today."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.config.choice import Choice, choose
from bench.config.suite import Run
from bench.errors import UsageError
from bench.records import standing

Reader = Callable[[str, str], "dict[str, Any] | None"]  # run_id, stage


def choice(root: Path, run: Run, read: Reader) -> Choice:
    """What is chosen; UsageError if a trial has not ended, or none has what is chosen by. One that failed has ended."""
    assert run.tune
    records = {}
    for run_id, trial in run.trials.items():
        record = read(run_id, "train")
        found = standing.of(record, trial, "train", root)
        if record is None or found.state in ("missing", "stale"):
            raise UsageError(f"its trial {run_id} is " + (f"stale: {found.reason}" if found.reason else "not trained"))
        records[run_id] = record
    return choose(run.tune, {run_id: trial.trial for run_id, trial in run.trials.items()}, records)


def untuned(root: Path, run: Run, record: Mapping[str, Any], read: Reader, known: dict[str, Any]) -> str:
    """Why the training in a record is not of the values that the run's trials choose; "" if it is.

    `known` remembers by variant what is chosen, or why nothing is.
    """
    if run.variant not in known:
        try:
            known[run.variant] = choice(root, run, read).to
        except UsageError as error:
            known[run.variant] = str(error)
    today = known[run.variant]
    if isinstance(today, str) or today == (record.get("tuned") or {}).get("to"):
        return today if isinstance(today, str) else ""
    return "its trials choose " + ", ".join(f"{key} = {value}" for key, value in today.items())
