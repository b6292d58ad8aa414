"""What `--retry` does anew: stages that failed, and what good records have lost, a reason in place of a value.

A record that is asked for again stays as it is, and is read as before, until the next one takes its place. What it has
is not measured again, as long as its parts are kept (bench/evaluation/unfinished.py).
"""

from collections.abc import Mapping
from pathlib import Path

from bench.config.settings import Stage
from bench.config.suite import Run
from bench.errors import UsageError
from bench.records.records import read_stage, record_path, stands
from bench.records.seal import write_json
from bench.records.standing import Standing

Losses = dict[tuple[Stage, str], list[str]]


def lost(stages: Mapping[Stage, Standing]) -> Losses:
    """Metrics without a value by stage and reason, in records that are what the run asks for.

    A point of the curve is none of them: its weights are gone.
    """
    found: Losses = {}
    for stage, standing in stages.items():
        for metric, reason in standing.lost if stage != "train" and standing.state == "done" else ():
            found.setdefault((stage, reason), []).append(metric)
    return found


def ask_again(root: Path, run: Run) -> None:
    """Have the stages with lost measurements count as not done."""
    for stage in {stage for stage, _ in lost(stands(root, run))}:
        record = read_stage(root, run.run_id, stage)
        write_json(record_path(root, run.run_id, stage), {**(record or {}), "again": True})


def forget_failure(root: Path, run: Run) -> dict[Path, bytes]:
    """Remove the run's failed records, so that it is run again from its last checkpoint; what was removed, by path.

    UsageError if what stands at the place of a record is no file.
    """
    forgotten: dict[Path, bytes] = {}
    for stage in run.stages:
        record, path = read_stage(root, run.run_id, stage), record_path(root, run.run_id, stage)
        if record and record["status"] == "failed":
            if not path.is_file():
                raise UsageError(f"{path}: not a file; move away what stands at the place of a record")
            forgotten[path] = path.read_bytes()
            path.unlink()
    return forgotten
