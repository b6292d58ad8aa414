"""A training under way: how far it was, and its curve, when it was last validated.

It is a file of the run's folder in the form of a record, which goes once the training has its own.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.config.suite import Run
from bench.records import standing
from bench.records.measurement import Measurement
from bench.records.reading import read_record
from bench.records.records import UNDERWAY, identity_of, run_folder, timestamp
from bench.records.schema import SCHEMA
from bench.records.seal import write_json


def write(root: Path, run: Run, where: str, curve: Iterable[Measurement], facts: Mapping[str, Any]) -> None:
    """Say `where` the training is ("step 40 of 60"); what cannot be written is not said, and training goes on."""
    record = {
        "schema": SCHEMA,
        "stage": Path(UNDERWAY).stem,
        "status": "ok",
        "error": where,
        "fingerprint": run.fingerprint("train"),
        **identity_of(run),
        **standing.described(run, "train"),
        **facts,
        "config": run.model_dump(mode="json"),
        "finished": timestamp(),
        "measurements": [point.row() for point in curve],
    }
    with suppress(OSError):
        write_json(run_folder(root, run.run_id) / UNDERWAY, record)


def read(folder: Path) -> dict[str, Any] | None:
    """What a run's folder says of its training, as a record of that stage with status "running"; None if unsound."""
    record = read_record(folder / UNDERWAY)
    return {**record, "stage": "train", "status": "running"} if record and record["status"] == "ok" else None


def where(root: Path, run_id: str) -> str:
    """How far the training of a run was, and when: "trained to step 40 of 60 by 2026-11-30 01:02 UTC"; or ""."""
    record = read(run_folder(root, run_id))
    return f"trained to {record['error']} by {record['finished'][:16].replace('T', ' ')} UTC" if record else ""
