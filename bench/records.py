"""Records: one JSON file a stage, whole or absent, and the tidy frame that all reports are functions of.

    results/<suite>/plan.json                        what was asked for
    results/<suite>/runs/<run_id>/<stage>.json       one row a measurement, with every setting behind it
    results/<suite>/runs/<run_id>/<stage>.npz        arrays for plots

Whether a record is what a run asks for is decided in bench/standing.py; it counts at all when it is sound
(bench/reading.py).
"""

import datetime
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import identity, standing
from bench.errors import UsageError
from bench.names import safe_name
from bench.reading import SCHEMA, read_planned, read_record, utf8
from bench.seal import write_arrays, write_json
from bench.settings import STAGES, Stage
from bench.standing import OTHER_SETTINGS, Standing
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
    elif error is None:
        (folder / f"{stage}.npz").unlink(missing_ok=True)  # of a record before this one
    record = {
        "schema": SCHEMA,
        "stage": stage,
        "status": "ok" if error is None else "failed",
        "error": error,
        "fingerprint": run.fingerprint(stage),
        **identity_of(run),
        **standing.described(run, stage),
        **facts,
        "config": run.model_dump(mode="json"),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        "measurements": [asdict(m) for m in measurements],
    }
    write_json(folder / f"{stage}.json", record)


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
        "global_batch": run.training.batch,
    }


def read_stage(root: Path, run_id: str, stage: str) -> dict[str, Any] | None:
    """The record of a stage; None if there is none; a failed one naming the file if it is not sound."""
    return read_record(run_folder(root, run_id) / f"{stage}.json")


def stage_done(root: Path, run: Run, stage: Stage) -> bool:
    """Whether the stage has the record that the run asks for."""
    return stands(root, run)[stage].state == "done"


def stands(root: Path, run: Run) -> dict[Stage, Standing]:
    """Where every stage of the run stands; one that was measured of a stale training is stale.

    Every record is read whole, so what this says of a file is what a report would.
    """
    found: dict[Stage, Standing] = {}
    for stage in run.stages:
        found[stage] = standing.judge(read_stage(root, run.run_id, stage), run, stage, root)
        if found[stage].state == "done" and found["train"].state == "stale":
            found[stage] = Standing("stale", found["train"].reason, found[stage].finished)
    return found


def outcome(root: Path, run: Run) -> tuple[bool, str | None]:
    """Whether every stage of the run is done, and the error of its first failed stage."""
    found = stands(root, run).values()
    return all(s.state == "done" for s in found), next((s.reason for s in found if s.state == "failed"), None)


def finished(root: Path, run: Run) -> bool:
    """Whether every stage of the run is done."""
    return outcome(root, run)[0]


def failed(root: Path, run: Run) -> str | None:
    """The error of the run's failed stage, if it has one (of this very evaluation)."""
    return outcome(root, run)[1]


def fail(root: Path, run: Run, error: str, facts: Mapping[str, Any] | None = None) -> None:
    """Write a failed record for the first stage that is neither done nor failed, else for the first that has failed."""
    from bench import provenance

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
        found = standing.judge(record, run, stage, root)
        older = [now.digest] * found.of_older_code + [str(standing.curve(run))] * found.older_curve
        if older:
            vouched = [*(record.get("vouched") or ()), *older]
            write_json(run_folder(root, run.run_id) / f"{stage}.json", {**record, "vouched": vouched})
            kept += 1
    return kept


def trained_by(root: Path, run: Run, keep_stale: bool) -> tuple[str, set[str] | None]:
    """Digest of the training's source, and older ones whose checkpoint may be gone on from; None for any."""
    code = identity.code(run, "train")
    record = read_stage(root, run.run_id, "train") or {}
    if code is None or keep_stale:
        return code.digest if code else "", None
    return code.digest, {str(record.get("code"))} if code.digest in (record.get("vouched") or ()) else set()


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


def cell(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    """What a later plan with other settings replaces."""
    return entry["protocol"], entry["dataset"], entry["baseline"]


def frame(root: Path) -> "pd.DataFrame":
    """All records under `root` as a tidy frame, one row a measurement, with the columns COLUMNS.

    A failed stage is one row with an empty metric and its error, and so is a record that is not sound; a planned stage
    without a record is one row with status "missing". A damaged plan is a failed row of its own, without a run.
    `current` says whether the run is of the current plan. A record that was measured under other settings or by older
    code than the plan asks for is one row with status "missing" and its reason in `stale`, which is "" elsewhere.
    `attrs["left_out"]` says whose curve is left out, since it was measured under another evaluation.
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
    left_out: list[str] = []
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
            if standing.is_older_curve(record, entry.get("curve")):
                record = {**record, "measurements": [m for m in record["measurements"] if not _on_curve(m)]}
                left_out.append(f"{known['run_id']}: its curve was measured under another evaluation")
            if reason := staleness(record, entry, stage):
                record = {"stage": stage, "status": "missing", "error": f"stale: {reason}", "stale": reason}
            # What one stage's record says of the run also describes its stages that failed early or are missing.
            known.update(
                {k: record[k] for k in ("label", "dataset_version", "parameters", "steps") if record.get(k) is not None}
            )
            columns.add({**known, **record})
    if not columns.values["run_id"]:
        return pd.DataFrame(columns=COLUMNS)  # whose empty columns take text
    table = pd.DataFrame(columns.values, columns=COLUMNS)
    table.attrs["left_out"] = left_out
    return table


def staleness(record: Mapping[str, Any], entry: Mapping[str, Any], stage: str) -> str:
    """Why a good record is not what the plan's entry asks for; "" if it is, or if the plan does not say."""
    asked, stale = (entry.get("asked") or {}).get(stage), (entry.get("outdated") or {}).get(stage)
    if record["status"] != "ok":
        return ""
    if asked is not None and record["fingerprint"] != asked:
        return OTHER_SETTINGS
    return str(stale["reason"]) if stale and stale["finished"] == record.get("finished") else ""


def _on_curve(row: Mapping[str, Any]) -> bool:
    return bool(row["settings"].get("curve"))


def configs(root: Path) -> dict[str, dict[str, Any]]:
    """The configuration of every variant: what the plan asks for, or a record says where it does not."""
    plan = read_planned(root / "plan.json")[0]
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
