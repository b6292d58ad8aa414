"""Records: one JSON file a stage, whole or absent.

    results/<suite>/plan.json                        what was asked for
    results/<suite>/runs/<run_id>/<stage>.json       one row a measurement, with every setting behind it
    results/<suite>/runs/<run_id>/<stage>.npz        arrays for plots
    results/<suite>/runs/<run_id>/underway.json      how far a training is (bench/records/underway.py)

Whether a record is what a run asks for is decided in bench/records/standing.py; it counts at all when it is sound
(bench/records/reading.py). Reports are made of the tidy frame of all of them (bench/records/frame.py).
"""

import datetime
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from bench.config.names import safe_name
from bench.config.settings import Stage
from bench.config.suite import Run
from bench.identity import identity
from bench.records import standing
from bench.records.measurement import Measurement
from bench.records.reading import read_record
from bench.records.schema import SCHEMA
from bench.records.seal import write_arrays, write_json
from bench.records.standing import Standing
from bench.records.tuned import Reader, untuned

if TYPE_CHECKING:
    import numpy as np

UNDERWAY = "underway.json"


def run_folder(root: Path, run_id: str) -> Path:
    return root / "runs" / safe_name(run_id)


def record_path(root: Path, run_id: str, stage: str) -> Path:
    return run_folder(root, run_id) / f"{stage}.json"


def write_stage(
    root: Path,
    run: Run,
    stage: Stage,
    measurements: Iterable[Measurement],
    facts: Mapping[str, Any],
    arrays: Mapping[str, "np.ndarray[Any, Any]"] | None = None,
    error: str | None = None,
) -> None:
    """Write the record of a stage of a run."""
    said = {
        "fingerprint": run.fingerprint(stage),
        **identity_of(run),
        **standing.described(run, stage),
        **facts,
        "config": run.model_dump(mode="json"),
    }
    write_record(root, stage, said, measurements, arrays, error)


def write_record(
    root: Path,
    stage: Stage,
    said: Mapping[str, Any],
    measurements: Iterable[Measurement],
    arrays: Mapping[str, "np.ndarray[Any, Any]"] | None = None,
    error: str | None = None,
) -> None:
    """Write what is said of a run, and what was measured, arrays first, so that a record that is there is complete."""
    folder = run_folder(root, said["run_id"])
    if arrays:
        write_arrays(folder / f"{stage}.npz", arrays)
    elif error is None:
        (folder / f"{stage}.npz").unlink(missing_ok=True)  # of a record before this one
    record = {
        "schema": SCHEMA,
        "stage": stage,
        "status": "ok" if error is None else "failed",
        "error": error,
        **said,
        "finished": timestamp(),
        "measurements": [m.row() for m in measurements],
    }
    write_json(record_path(root, said["run_id"], stage), record)
    if stage == "train":
        (folder / UNDERWAY).unlink(missing_ok=True)


def timestamp() -> str:
    """The time as records have it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def identity_of(run: Run) -> dict[str, Any]:
    """What records and plans say a run is."""
    return {
        "run_id": run.run_id,
        "variant": run.variant,
        "suite": run.suite,
        "protocol": run.protocol,
        "dataset": run.dataset.name,
        "network": run.network.name,
        "baseline": run.baseline.name,
        "seed": run.seed,
        "global_batch": 0 if run.training.weights else run.training.batch,
        **({"tuning": run.tuning} if run.tuning else {}),
    }


def read_stage(root: Path, run_id: str, stage: str) -> dict[str, Any] | None:
    """The record of a stage; None if there is none; a failed one naming the file if it is not sound."""
    return read_record(record_path(root, run_id, stage))


def stands(
    root: Path, run: Run, read: Reader | None = None, chosen: dict[str, Any] | None = None
) -> dict[Stage, Standing]:
    """Where every stage of the run stands; one that was measured of a stale training is stale.

    So is one that a teacher taught whose training is no longer done, and one that was trained with other values than
    its trials choose. Every record is read whole, so what this says of a file is what a report would; of many runs
    bench/records/index.py has `read`, and remembers what is `chosen`.
    """
    whole = partial(read_stage, root)
    read = read or whole
    found = {stage: standing.of(read(run.run_id, stage), run, stage, root) for stage in run.stages}
    why = _untaught(root, run) if found["train"].state == "done" else ""
    if run.tune and found["train"].state == "done" and not why:
        why = untuned(root, run, read(run.run_id, "train") or {}, whole, {} if chosen is None else chosen)
    if why:
        found["train"] = Standing("stale", why, found["train"].finished)
    if found["train"].state == "stale":
        why = found["train"].reason
        found |= {s: Standing("stale", why, done.finished) for s, done in found.items() if done.state == "done"}
    return found


def trained(root: Path, run_id: str) -> tuple[Run | None, Standing]:
    """The run of that id, as its record of the training has it, and where that training stands.

    ValidationError if the record is of an older edition.
    """
    record = read_stage(root, run_id, "train")
    if record is None or record["status"] != "ok":
        return None, Standing("missing" if record is None else "failed")
    run = Run.model_validate(record["config"])
    return run, stands(root, run)["train"]


def _untaught(root: Path, run: Run) -> str:
    """Why a student's training is of a teacher that is not there as it was; "" if it is, or if nobody can know."""
    for teacher in run.teachers:
        with suppress(ValidationError):
            found = trained(root, teacher)[1]
            if found.state != "done":
                return f"its teacher {teacher} is " + (f"stale: {found.reason}" if found.reason else "not trained")
    return ""


def finished(root: Path, run: Run) -> bool:
    """Whether every stage of the run is done."""
    return all(found.state == "done" for found in stands(root, run).values())


def failed(root: Path, run: Run) -> str | None:
    """The error of the run's first failed stage, if it has one (of this very evaluation)."""
    return next((found.reason for found in stands(root, run).values() if found.state == "failed"), None)


def fail(root: Path, run: Run, error: str, facts: Mapping[str, Any] | None = None) -> None:
    """Write a failed record for the first stage that is neither done nor failed, else for the first that has failed."""
    from bench.records import provenance

    states = {stage: found.state for stage, found in stands(root, run).items() if found.state != "done"}
    stage = next((stage for stage, state in states.items() if state != "failed"), next(iter(states), None))
    if stage is not None:
        known = {"commit": provenance.commit(), "versions": provenance.versions()}
        shown = "".join(c if c.isprintable() else " " for c in error)  # a child's colours are no part of a reason
        write_stage(root, run, stage, [], facts or known, error=" ".join(shown.split())[:500])


def vouch(root: Path, run: Run) -> int:
    """Have the run's records of older source, and its curve, count as measured by today's; how many there were."""
    kept = 0
    for stage in run.stages:
        record, now = read_stage(root, run.run_id, stage), identity.code(run, stage)
        if record is None or now is None:
            continue
        found = standing.of(record, run, stage, root)
        older = [now.digest] * found.of_older_code + [str(standing.curve(run))] * found.older_curve
        if older:
            vouched = [*(record.get("vouched") or ()), *older]
            write_json(record_path(root, run.run_id, stage), {**record, "vouched": vouched})
            kept += 1
    return kept


def trained_by(root: Path, run: Run, keep_stale: bool) -> tuple[str, set[str] | None]:
    """Digest of the training's source, and older ones whose checkpoint may be gone on from; None for any."""
    code = identity.code(run, "train")
    record = read_stage(root, run.run_id, "train") or {}
    if code is None or keep_stale:
        return code.digest if code else "", None
    return code.digest, {str(record.get("code"))} if code.digest in (record.get("vouched") or ()) else set()


def cell(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    """What a later plan with other settings replaces."""
    return entry["protocol"], entry["dataset"], entry["baseline"]
