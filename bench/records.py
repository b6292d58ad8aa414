"""Records: one JSON file a stage, whole or absent, and the tidy frame that all reports are functions of.

    results/<suite>/plan.json                        what was asked for
    results/<suite>/runs/<run_id>/<stage>.json       one row a measurement, with every setting behind it
    results/<suite>/runs/<run_id>/<stage>.npz        arrays for plots

A record counts as finished when its fingerprint is the one the run asks for.
"""

import datetime
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.files import locked, write_atomic, write_json
from bench.registry import baselines
from bench.settings import STAGES, Stage
from bench.suite import Run

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SCHEMA = 1
RUN_COLUMNS = (
    *("run_id", "variant", "suite", "protocol", "dataset", "dataset_version", "network", "parameters"),
    *("baseline", "label", "seed", "stage"),
)
PROVENANCE_COLUMNS = ("steps", "device", "device_count", "global_batch", "versions", "commit", "status", "error")
COLUMNS = [*RUN_COLUMNS, "metric", "value", "stderr", "n", "settings", "seconds", *PROVENANCE_COLUMNS]


@dataclass(frozen=True)
class Measurement:
    """One number with what it takes to repeat it.

    Attributes:
        stderr: standard error of `value` over what `n` counts.
        n: samples behind the value.
        settings: solver, tolerances, probes, draws, batch, split, extractor and what else the value depends on.
        seconds: what measuring took.
    """

    metric: str
    value: float
    stderr: float | None = None
    n: int | None = None
    seconds: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)


def run_folder(root: Path, run_id: str) -> Path:
    return root / "runs" / run_id


def write_stage(
    root: Path,
    run: Run,
    stage: Stage,
    measurements: Iterable[Measurement],
    facts: Mapping[str, Any],
    arrays: Mapping[str, "np.ndarray[Any, Any]"] | None = None,
    error: str | None = None,
) -> None:
    """Write the record of a stage, its arrays first, so that a record that is there is complete."""
    folder = run_folder(root, run.run_id)
    if arrays:
        import numpy as np

        def save(path: Path) -> None:
            with path.open("wb") as file:
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

        write_atomic(folder / f"{stage}.npz", save)
    record = {
        "schema": SCHEMA,
        "stage": stage,
        "status": "ok" if error is None else "failed",
        "error": error,
        "fingerprint": run.fingerprint(stage),
        **_identity(run),
        **facts,
        "config": run.model_dump(mode="json"),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "measurements": [asdict(m) for m in measurements],
    }
    write_json(folder / f"{stage}.json", record)


def _identity(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "variant": run.variant,
        "suite": run.suite,
        "protocol": run.protocol,
        "dataset": run.dataset.name,
        "network": run.network.name,
        "baseline": run.baseline.name,
        "seed": run.seed,
        "global_batch": run.training.batch,
    }


def read_stage(root: Path, run_id: str, stage: str) -> dict[str, Any] | None:
    """The record of a stage; None if there is none; a failed one naming the file if it cannot be read."""
    path = run_folder(root, run_id) / f"{stage}.json"
    try:
        record = json.loads(path.read_text())
        if record["schema"] != SCHEMA:
            return {
                "stage": stage,
                "status": "failed",
                "error": f"{path}: schema {record['schema']}, this is {SCHEMA}",
            }
        record["measurements"], record["status"]
        return record
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, OSError) as error:
        return {
            "stage": stage,
            "status": "failed",
            "error": f"{path}: not a record ({type(error).__name__}: {error})",
        }


def stage_done(root: Path, run: Run, stage: Stage) -> bool:
    """Whether the stage has a good record with the fingerprint that the run asks for."""
    record = read_stage(root, run.run_id, stage)
    return bool(record and record["status"] == "ok" and record.get("fingerprint") == run.fingerprint(stage))


def finished(root: Path, run: Run) -> bool:
    """Whether every stage of the run is done."""
    return all(stage_done(root, run, stage) for stage in run.stages)


def failed(root: Path, run: Run) -> str | None:
    """The error of the run's failed stage, if it has one (of this very evaluation)."""
    for stage in run.stages:
        record = read_stage(root, run.run_id, stage)
        if (
            record
            and record["status"] == "failed"
            and record.get("fingerprint", run.fingerprint(stage)) == run.fingerprint(stage)
        ):
            return str(record["error"])
    return None


def fail(root: Path, run: Run, error: str, facts: Mapping[str, Any] | None = None) -> None:
    """Write a failed record for the first stage that is not done."""
    from bench import provenance

    stage = next((s for s in run.stages if not stage_done(root, run, s)), None)
    if stage is not None:
        known = {"commit": provenance.commit(), "versions": provenance.versions()}
        write_stage(root, run, stage, [], facts or known, error=" ".join(error.split())[:500])


def forget_failure(root: Path, run: Run) -> None:
    """Remove the run's failed records, so that it is run again from its last checkpoint."""
    for stage in run.stages:
        record = read_stage(root, run.run_id, stage)
        if record and record["status"] == "failed":
            (run_folder(root, run.run_id) / f"{stage}.json").unlink(missing_ok=True)


def write_plan(root: Path, about: str, runs: Iterable[Run]) -> None:
    """Add runs to the plan of the folder; the report shows those without a record as missing."""
    with locked(root / ".plan.lock"):
        planned = {entry["run_id"]: entry for entry in read_plan(root)}
        for run in runs:
            label = baselines[run.baseline.name].label
            facts = {"label": label, "stages": run.stages, "steps": run.training.steps}
            planned[run.run_id] = {**_identity(run), **facts}
        write_json(root / "plan.json", {"about": about, "runs": list(planned.values())})


def read_plan(root: Path) -> list[dict[str, Any]]:
    """The planned runs, as `write_plan` left them; none where there is no readable plan."""
    try:
        return list(json.loads((root / "plan.json").read_text())["runs"])
    except (OSError, ValueError, KeyError):
        return []


def frame(root: Path) -> "pd.DataFrame":
    """All records under `root` as a tidy frame, one row a measurement, with the columns COLUMNS.

    A failed stage is one row with an empty metric and its error; a planned stage without a record is one row with
    status "missing".
    """
    import pandas as pd

    planned = {entry["run_id"]: entry for entry in read_plan(root)}
    folders = {path.name for path in (root / "runs").glob("*") if path.is_dir()}
    rows: list[dict[str, Any]] = []
    for run_id in [*planned, *sorted(folders - set(planned))]:
        entry = planned.get(run_id, {})
        stages = entry.get("stages") or sorted(
            p.stem for p in run_folder(root, run_id).glob("*.json") if p.stem in STAGES
        )
        known: dict[str, Any] = {"run_id": run_id, "steps": entry.get("steps"), **entry}
        for stage in stages:
            record = read_stage(root, run_id, stage) or {
                "stage": stage,
                "status": "missing",
                "error": "not run",
            }
            # What one stage's record says of the run also describes its stages that failed early or are missing.
            known.update(
                {k: record[k] for k in ("label", "dataset_version", "parameters", "steps") if record.get(k) is not None}
            )
            rows += _rows({**known, **record})
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    base = {c: record.get(c) for c in (*RUN_COLUMNS, *PROVENANCE_COLUMNS)}
    base["label"] = base["label"] or base["baseline"]
    base["versions"] = json.dumps(base["versions"] or {}, sort_keys=True)
    empty = {"metric": "", "value": float("nan"), "stderr": None, "n": None, "seconds": None, "settings": {}}
    measurements = record.get("measurements") if record["status"] == "ok" else [empty]
    return [{**base, **m, "settings": json.dumps(m["settings"], sort_keys=True)} for m in measurements or []]


def configs(root: Path) -> dict[str, dict[str, Any]]:
    """The configuration of every variant that has a good record: what its runs were asked for."""
    found: dict[str, dict[str, Any]] = {}
    for folder in sorted((root / "runs").glob("*-s*")):
        variant = folder.name.rpartition("-s")[0]
        if variant not in found:
            record = read_stage(root, folder.name, "train")
            if record and record["status"] == "ok" and isinstance(record.get("config"), dict):
                found[variant] = record["config"]
    return found
