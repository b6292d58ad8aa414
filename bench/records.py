"""Records: one JSON file a stage, whole or absent, and the tidy frame that all reports are functions of.

    results/<suite>/plan.json                        what was asked for
    results/<suite>/runs/<run_id>/<stage>.json       one row a measurement, with every setting behind it
    results/<suite>/runs/<run_id>/<stage>.npz        arrays for plots

A record counts as finished when its fingerprint is the one the run asks for, and counts at all when it is sound
(bench/reading.py).
"""

import datetime
import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UsageError
from bench.locks import locked
from bench.names import safe_name
from bench.reading import SCHEMA, read_planned, read_record, utf8
from bench.registry import baselines
from bench.seal import write_arrays, write_json
from bench.settings import STAGES, Stage
from bench.suite import Run

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

RUN_COLUMNS = (
    *("run_id", "variant", "suite", "protocol", "dataset", "dataset_version", "network", "parameters"),
    *("baseline", "label", "seed", "stage", "current", "stale"),
)
PROVENANCE_COLUMNS = ("steps", "device", "device_count", "global_batch", "versions", "commit", "status", "error")
COLUMNS = [*RUN_COLUMNS, "metric", "value", "stderr", "n", "settings", "seconds", "reason", *PROVENANCE_COLUMNS]


@dataclass(frozen=True)
class Measurement:
    """One number with what it takes to repeat it.

    Attributes:
        stderr: standard error of `value` over what `n` counts.
        n: samples behind the value.
        settings: solver, tolerances, probes, draws, batch, split, extractor and what else the value depends on.
        seconds: what measuring took.
        reason: why there is no value ("diverged at 4 evaluations"), which is then not a number.
    """

    metric: str
    value: float
    stderr: float | None = None
    n: int | None = None
    seconds: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None


def run_folder(root: Path, run_id: str) -> Path:
    return root / "runs" / safe_name(run_id)


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
        write_arrays(folder / f"{stage}.npz", arrays)
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
    """The record of a stage; None if there is none; a failed one naming the file if it is not sound."""
    return read_record(run_folder(root, run_id) / f"{stage}.json")


def stage_done(root: Path, run: Run, stage: Stage) -> bool:
    """Whether the stage has a good record with the fingerprint that the run asks for."""
    return _done(read_stage(root, run.run_id, stage), run.fingerprint(stage))


def _done(record: Mapping[str, Any] | None, fingerprint: str) -> bool:
    return bool(record and record["status"] == "ok" and record["fingerprint"] == fingerprint)


def standing(root: Path, run: Run) -> tuple[bool, str | None]:
    """Whether every stage of the run is done, and the error of its first failed stage (of this very evaluation).

    Every record is read whole, so what this says of a file is what a report would.
    """
    done, error = True, None
    for stage in run.stages:
        record, asked = read_stage(root, run.run_id, stage), run.fingerprint(stage)
        done = done and _done(record, asked)
        # A record that is not sound cannot say which evaluation it was of.
        if error is None and record and record["status"] == "failed" and record.get("fingerprint", asked) == asked:
            error = str(record["error"])
    return done, error


def finished(root: Path, run: Run) -> bool:
    """Whether every stage of the run is done."""
    return standing(root, run)[0]


def failed(root: Path, run: Run) -> str | None:
    """The error of the run's failed stage, if it has one (of this very evaluation)."""
    return standing(root, run)[1]


def fail(root: Path, run: Run, error: str, facts: Mapping[str, Any] | None = None) -> None:
    """Write a failed record for the first stage that is not done."""
    from bench import provenance

    stage = next((s for s in run.stages if not stage_done(root, run, s)), None)
    if stage is not None:
        known = {"commit": provenance.commit(), "versions": provenance.versions()}
        shown = "".join(c if c.isprintable() else " " for c in error)  # a child's colours are no part of a reason
        write_stage(root, run, stage, [], facts or known, error=" ".join(shown.split())[:500])


def forget_failure(root: Path, run: Run) -> dict[Path, bytes]:
    """Remove the run's failed records, so that it is run again from its last checkpoint; what was removed, by path.

    Raises:
        UsageError: what stands at the place of a record is no file.
    """
    forgotten: dict[Path, bytes] = {}
    for stage in run.stages:
        record, path = read_stage(root, run.run_id, stage), run_folder(root, run.run_id) / f"{stage}.json"
        if record and record["status"] == "failed":
            if not path.is_file():
                raise UsageError(f"{path}: not a file; move away what stands at the place of a record")
            forgotten[path] = path.read_bytes()
            path.unlink()
    return forgotten


def write_plan(root: Path, about: str, runs: Iterable[Run]) -> None:
    """Add runs to the plan of the folder; the report shows those without a record as missing.

    What was planned before for the same protocol, dataset and baseline with other settings is current no more.
    """
    with locked(root / ".plan.lock"):
        before = read_plan(root)
        planned = {entry["run_id"]: entry for entry in before}
        for run in runs:
            label = baselines[run.baseline.name].label
            facts = {"label": label, "stages": list(run.stages), "steps": run.training.steps}
            asked = {stage: run.fingerprint(stage) for stage in run.stages}
            config = run.model_dump(mode="json")
            planned[run.run_id] = {**_identity(run), **facts, "asked": asked, "config": config}
        entries = marked(list(planned.values()), {run.variant for run in runs})
        write_json(root / "plan.json", {"about": about, "runs": entries})


def marked(entries: Iterable[Mapping[str, Any]], variants: Collection[str]) -> list[dict[str, Any]]:
    """The entries of a plan, once `variants` are what is asked for of their protocol, dataset and baseline."""
    asked_for = {cell(entry) for entry in entries if entry["variant"] in variants}

    def current(entry: Mapping[str, Any]) -> bool:
        return entry["variant"] in variants if cell(entry) in asked_for else entry.get("current") is not False

    return [{**entry, "current": current(entry)} for entry in entries]


def cell(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    """What a later plan with other settings replaces."""
    return entry["protocol"], entry["dataset"], entry["baseline"]


def read_plan(root: Path) -> list[dict[str, Any]]:
    """The planned runs, as `write_plan` left them; what is not sound is left out."""
    return read_planned(root / "plan.json")[0]


def frame(root: Path) -> "pd.DataFrame":
    """All records under `root` as a tidy frame, one row a measurement, with the columns COLUMNS.

    A failed stage is one row with an empty metric and its error, and so is a record that is not sound; a planned stage
    without a record is one row with status "missing". A damaged plan is a failed row of its own, without a run.
    `current` says whether the run is of the current plan. A record that was measured under other settings or by older
    code than the plan asks for is one row with status "missing" and its reason in `stale`, which is "" elsewhere.
    """
    import pandas as pd

    entries, complaint = read_planned(root / "plan.json")
    planned = {entry["run_id"]: entry for entry in entries}
    folders = {run_folder(root, run_id): entry for run_id, entry in planned.items()}
    for path in sorted((root / "runs").glob("*")):
        if path.is_dir():
            folders.setdefault(path, {})
    replaced = {cell(entry) for entry in entries}
    columns = _Columns()
    if complaint:
        columns.add({"run_id": "plan.json", "status": "failed", "error": complaint})
    for folder, entry in folders.items():
        there = {path.stem for path in folder.glob("*.json")}
        known: dict[str, Any] = {"steps": None, "run_id": utf8(folder.name), **entry}
        stages = entry.get("stages") or [stage for stage in STAGES if stage in there]
        found = {stage: read_record(folder / f"{stage}.json") for stage in stages}
        whole = [record for record in found.values() if record and "variant" in record]
        # A run that no plan knows is of the current one only where that says nothing of its kind.
        known.setdefault("current", bool(entry) or not any(cell(record) in replaced for record in whole))
        for stage, record in found.items():
            record = record or {"stage": stage, "status": "missing", "error": "not run"}
            if reason := _stale(record, entry, stage):
                record = {"stage": stage, "status": "missing", "error": f"stale: {reason}", "stale": reason}
            # What one stage's record says of the run also describes its stages that failed early or are missing.
            known.update(
                {k: record[k] for k in ("label", "dataset_version", "parameters", "steps") if record.get(k) is not None}
            )
            columns.add({**known, **record})
    if not columns.values["run_id"]:
        return pd.DataFrame(columns=COLUMNS)  # whose empty columns take text
    return pd.DataFrame(columns.values, columns=COLUMNS)


def _stale(record: Mapping[str, Any], entry: Mapping[str, Any], stage: str) -> str:
    """Why a good record is not what the plan's entry asks for; "" if it is, or if the plan does not say."""
    asked = (entry.get("asked") or {}).get(stage)
    if record["status"] != "ok" or asked is None or record["fingerprint"] == asked:
        return ""
    return "measured under other settings"


def configs(root: Path) -> dict[str, dict[str, Any]]:
    """The configuration of every variant: what the plan asks for, or a record says where it does not."""
    plan = read_plan(root)
    found = {entry["variant"]: entry["config"] for entry in plan if isinstance(entry.get("config"), dict)}
    known = {entry["run_id"] for entry in plan if entry["variant"] in found}
    for folder in sorted((root / "runs").glob("*")):
        for stage in STAGES if folder.name not in known else ():
            record = read_record(folder / f"{stage}.json")
            if record and record.get("variant") not in (None, *found) and isinstance(record.get("config"), dict):
                found[record["variant"]] = record["config"]
                break
    return found


class _Columns:
    """The frame under way, a list a column: rows of one record share their values, and equal texts are one object."""

    def __init__(self) -> None:
        self.values: dict[str, list[Any]] = {column: [] for column in COLUMNS}
        self._text = json.JSONEncoder(sort_keys=True).encode
        self._texts: dict[str, str] = {}

    def _json(self, value: Any) -> str:
        text = self._text(value)
        return self._texts.setdefault(text, text)

    def add(self, record: Mapping[str, Any]) -> None:
        """The rows of one record, or the one row that says why there is none."""
        rows = record["measurements"] if record["status"] == "ok" else [{"metric": "", "value": math.nan}]
        shared = {
            **{column: record.get(column) for column in (*RUN_COLUMNS, *PROVENANCE_COLUMNS)},
            "label": record.get("label") or record.get("baseline"),
            "current": record.get("current") is not False,
            "stale": record.get("stale", ""),
            "versions": self._json(record.get("versions") or {}),
        }
        for column, value in shared.items():
            self.values[column] += [value] * len(rows)
        for column in ("metric", "value", "stderr", "n", "seconds", "reason"):
            self.values[column] += [row.get(column) for row in rows]
        self.values["settings"] += [self._json(row.get("settings", {})) for row in rows]
