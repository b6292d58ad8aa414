"""The tidy frame of all records of a folder, of which every table, figure and verdict is a function.

It holds what is sound (bench/records/reading.py) and names what is not; how a record stands to the plan is the plan's
to say.
"""

import json
import math
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from bench.config.choice import Choice
from bench.errors import UsageError
from bench.metrics.metric import SAID
from bench.records import standing, underway
from bench.records.archive import opened
from bench.records.measurement import PLACE
from bench.records.reading import read_record, utf8
from bench.records.records import cell
from bench.records.standing import OTHER_SETTINGS
from bench.records.stored import Stored, stored

if TYPE_CHECKING:
    import pandas as pd

RUN_COLUMNS = (
    *("run_id", "variant", "suite", "protocol", "dataset", "dataset_version", "given", "network", "parameters"),
    *("baseline", "label", "seed", "stage", "current", "stale", "tuning", "tuned_to"),
)
PROVENANCE_COLUMNS = ("steps", "device", "device_count", "global_batch", "versions", "commit", "status", "error")
OF_RUN = ("label", "dataset_version", "given", "parameters", "steps")  # known of all stages once one record says it
STORAGE = ("mode.string_storage", "python")  # Arrow's, pandas' own choice, refuses bytes of a name that are not UTF-8
MEASURED = ("ok", "running")  # status of rows that have values
PLACES = (*PLACE, "nfe")  # on a curve, NaN where a measurement is not on one
COLUMNS = [
    *(*RUN_COLUMNS, "metric", *SAID, "value", "stderr", "n", "settings", *PLACES, "seconds", "reason"),
    *PROVENANCE_COLUMNS,
]


def read_frame(root: Path) -> "pd.DataFrame":
    """All records under `root` as a tidy frame, one row a measurement, with the columns COLUMNS.

    A failed stage is one row with an empty metric and its error, and so is a record that is not sound; a planned stage
    without a record is one row with status "missing", and a training under way the rows of its curve with status
    "running" and how far it is as their error. A damaged plan is a failed row of its own, without a run.
    `tuning` is "trial", "tuned", "untuned" (at the suite's own settings, beside a tuned run) or "". `tuned_to` has as
    JSON by dotted key the values that a trial tries or a tuned run was trained with, "{}" where nothing is tuned.
    `current` says whether the run is of the current plan. A record that was measured under other settings or by older
    code than the plan asks for is one row with status "missing" and its reason in `stale`, which is "" elsewhere.
    `attrs["left_out"]` says whose curve is left out, since it was measured under another evaluation.
    """
    import pandas as pd

    runs, complaint = stored(root)
    replaced = {cell(run.entry) for run in runs if run.entry}
    columns = _Columns()
    left_out: list[str] = []
    if complaint:
        columns.add({"run_id": "plan.json", "status": "failed", "error": complaint})
    for folder, entry in runs:
        found = Stored(folder, entry).records()
        # A run that no plan knows is of the current one only where that says nothing of its kind.
        current = bool(entry) or not any(cell(record) in replaced for record in found.values() if "variant" in record)
        known: dict[str, Any] = {"run_id": utf8(folder.name), "current": current, **entry}
        for stage in entry.get("stages") or found:
            record = found.get(stage) or (underway.read(folder) if stage == "train" else None)
            record = record or {"stage": stage, "status": "missing", "error": "not run"}
            if standing.is_older_curve(record, entry.get("curve")):
                others = [row for row in record["measurements"] if "step" not in row.get("place", {})]
                record = {**record, "measurements": others}
                left_out.append(f"{known['run_id']}: its curve was measured under another evaluation")
            if reason := staleness(record, entry, stage):
                record = {"stage": stage, "status": "missing", "error": f"stale: {reason}"}
            facts = {key: value for key, value in record.items() if value is not None}
            # What one stage's record says of the run also describes its stages that failed early or are missing.
            known.update({key: facts[key] for key in OF_RUN if key in facts})
            columns.add({**known, **facts, "current": known["current"], "stale": reason})
    with pd.option_context(*STORAGE):
        if not columns.values["run_id"]:
            return pd.DataFrame(columns=COLUMNS)  # whose empty columns take text
        table = pd.DataFrame(columns.values, columns=COLUMNS)
    table.attrs["left_out"] = left_out
    return table


def frame(path: Path | str) -> "pd.DataFrame":
    """The tidy frame of a suite's folder of results, of several suites' (`results`), or of an archive of one.

    One row a measurement, with the columns COLUMNS, as `read_frame` has it. An archive leaves no files behind.

    Raises:
        UsageError: there are no records.
    """
    import pandas as pd

    path = Path(path)
    if not path.exists():
        raise UsageError(f"{path}: no such folder or archive")
    with opened(path) as root:
        roots = [folder for folder in (root, *sorted(root.glob("*/"))) if (folder / "runs").is_dir()]
        found = [read_frame(folder) for folder in roots]
        if not any(map(len, found)):
            raise UsageError(
                f"{path}: no records; expected a suite's folder of results, several suites', or an archive"
            )
        table = pd.concat([one for one in found if len(one)], ignore_index=True) if len(found) > 1 else found[0]
        table["error"] = [text.replace(str(root), str(path)) if isinstance(text, str) else text for text in table.error]
    table.attrs["left_out"] = [line for one in found for line in one.attrs.get("left_out", ())]
    return table


def reported(table: "pd.DataFrame") -> "pd.DataFrame":
    """The frame without what serves tuning alone: trials, and untuned runs beside tuned ones."""
    return table[~table.tuning.isin(["trial", "untuned"])]


def at_own_settings(table: "pd.DataFrame") -> "pd.DataFrame":
    """The frame of the runs at the suite's own settings alone, without trials and tuned runs."""
    return table[~table.tuning.isin(["trial", "tuned"])]


def _tuned_to(record: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a trial tries, or that its trials have chosen for a run."""
    config: Mapping[str, Any] = record.get("config") or {}
    return (config.get("trial") or {}) | ((record.get("tuned") or {}).get("to") or {})


def staleness(record: Mapping[str, Any], entry: Mapping[str, Any], stage: str) -> str:
    """Why a good record is not what the plan's entry asks for; "" if it is, or if the plan does not say."""
    asked, stale = (entry.get("asked") or {}).get(stage), (entry.get("outdated") or {}).get(stage)
    if record["status"] != "ok":
        return ""
    if asked is not None and record["fingerprint"] != asked:
        return OTHER_SETTINGS
    return str(stale["reason"]) if stale and stale["finished"] == record.get("finished") else ""


def read_configs(root: Path) -> dict[str, dict[str, Any]]:
    """The configuration of every variant: what the plan asks for, or a record says where it does not.

    That of what is tuned is its record's, once there is one, which has the values that were chosen.
    """
    runs = stored(root)[0]
    planned = [run.entry for run in runs if isinstance(run.entry.get("config"), dict)]
    unchosen = {entry["variant"]: entry["config"] for entry in planned if entry.get("tuning") == "tuned"}
    found = {entry["variant"]: entry["config"] for entry in planned if entry["variant"] not in unchosen}
    for run in runs:
        for record in run.records().values() if run.entry.get("variant") not in found else ():
            if record.get("variant") not in (None, *found) and isinstance(record.get("config"), dict):
                found[record["variant"]] = record["config"]
    return unchosen | found


def read_choices(root: Path) -> dict[str, Choice]:
    """What the trials of every tuned variant have chosen, by the latest record of its training."""
    found: dict[str, tuple[str, Choice]] = {}
    for run in stored(root)[0]:
        if run.entry and run.entry.get("tuning") != "tuned":
            continue
        record = read_record(run.folder / "train.json") or {}
        with suppress(ValidationError):
            finished = record.get("finished") or ""
            if record.get("tuned") and (record["variant"] not in found or finished > found[record["variant"]][0]):
                found[record["variant"]] = finished, Choice.model_validate(record["tuned"])
    return {variant: choice for variant, (_, choice) in found.items()}


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
        lost: list[dict[str, Any]] = [{"metric": "", "value": math.nan}]
        rows = (record["status"] in MEASURED and record["measurements"]) or lost
        shared = {column: record.get(column) for column in (*RUN_COLUMNS, *PROVENANCE_COLUMNS)} | {
            "label": record.get("label") or record.get("baseline"),
            "current": record.get("current") is not False,
            "stale": record.get("stale", ""),
            "tuning": record.get("tuning") or "",
            "tuned_to": self._json(_tuned_to(record)),
            "versions": self._json(record.get("versions") or {}),
        }
        for column, values in self.values.items():
            if column in shared:
                values += [shared[column]] * len(rows)
            elif column in PLACES:
                values += [row.get("place", {}).get(column, math.nan) for row in rows]
            elif column == "settings":
                values += [self._json(row.get("settings", {})) for row in rows]
            elif column in SAID:
                values += [sys.intern(row.get(column, "")) for row in rows]
            else:
                values += [row.get(column) for row in rows]
