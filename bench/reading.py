"""What lies on a disk, checked field by field before anything is made of it: records and plans that may be damaged.

A record can be half-written by a foreign tool, edited by hand, copied from another run or left by another version. One
that is not sound is no reason to stop: it reads as a failed stage whose error names the file, the field, its value
and what was expected there. A NaN may stand where a number with a fraction may, as a measurement can give one, and
nowhere else.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from bench.settings import STAGES

# No migration leads from an older schema to this one; the first that is written is called where `_complaint` refuses.
SCHEMA = 1

Types = Collection[type]
TEXT: Types = (str,)
WHOLE: Types = (int,)
NUMBER: Types = (int, float)
TABLE: Types = (dict,)
NOTHING = type(None)
WORDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "a table",
    list: "a list",
    NOTHING: "null",
}

IDENTITY: dict[str, Types] = {
    **dict.fromkeys(("run_id", "variant", "suite", "protocol", "dataset", "network", "baseline"), TEXT),
    "seed": WHOLE,
    "global_batch": WHOLE,
}
RECORD: dict[str, Types] = {**IDENTITY, "stage": TEXT, "fingerprint": TEXT, "measurements": (list,)}
FACTS: dict[str, Types] = {  # of a record, where it has them
    **dict.fromkeys(("label", "dataset_version", "device", "commit", "error"), (str, NOTHING)),
    **dict.fromkeys(("parameters", "steps", "device_count"), (int, NOTHING)),
    "versions": (dict, NOTHING),
}
MEASUREMENT: dict[str, Types] = {
    "metric": TEXT,
    "value": NUMBER,
    "stderr": (int, float, NOTHING),
    "n": (int, NOTHING),
    "seconds": (int, float, NOTHING),
    "settings": TABLE,
}
PLANNED: dict[str, Types] = {
    **IDENTITY,
    "label": TEXT,
    "stages": (list,),
    "current": (bool, NOTHING),
    "asked": (dict, NOTHING),
}


def read_record(path: Path, run_id: str, stage: str) -> dict[str, Any] | None:
    """The record of a stage at its place; None if there is none; a failed one naming the file if it is not sound."""
    try:
        record = json.loads(path.read_bytes())
        complaint = _complaint(record, run_id, stage)
    except FileNotFoundError:
        return None
    except (ValueError, OSError, RecursionError) as error:
        complaint = f"not a record ({type(error).__name__}: {error})"
    if complaint:
        return {"stage": stage, "status": "failed", "error": " ".join(f"{path}: {complaint}".split())}
    return dict(record)


def _complaint(record: Any, run_id: str, stage: str) -> str:
    """What is wrong with a parsed record, or nothing."""
    if type(record) is not dict:
        return f"not a record ({_wrong('its content', record, TABLE)})"
    if "schema" in record and record["schema"] != SCHEMA:
        return f"schema {repr(record['schema'])[:40]}, this is {SCHEMA}; --retry measures the stage again"
    known = {key: types for key, types in FACTS.items() if key in record}
    wrong = _misfit(record, {"schema": WHOLE, "status": TEXT, **RECORD, **known})
    for i, row in enumerate(record["measurements"] if not wrong else ()):
        # The loop of a whole report: a row of the right types costs six look-ups.
        if type(row) is not dict or any(type(row.get(key)) not in types for key, types in MEASUREMENT.items()):
            wrong = f"measurements[{i}]" + (
                f".{_misfit(row, MEASUREMENT)}" if type(row) is dict else f" = {repr(row)[:40]}"
            )
            break
    if not wrong and record["status"] not in ("ok", "failed"):
        wrong = f"status = {repr(record['status'])[:40]}: expected 'ok' or 'failed'"
    if wrong:
        return f"not a record ({wrong})"
    if (record["run_id"], record["stage"]) != (run_id, stage):
        return f"a copy of {record['run_id']} {record['stage']}, which counts at its own place"
    return ""


def _misfit(values: Mapping[str, Any], fields: Mapping[str, Types]) -> str:
    """The first field that is absent or of another type."""
    for key, types in fields.items():
        if key not in values and NOTHING not in types:
            return f"no {key}"
        if type(values.get(key)) not in types:  # not isinstance: true is no number
            return _wrong(key, values.get(key), types)
    return ""


def _wrong(name: str, value: Any, types: Types) -> str:
    # Where a fraction may stand so may a whole number, and one word does for both.
    words = [WORDS[t] for t in types if not (t is int and float in types)]
    return f"{name} = {repr(value)[:40]}: expected {' or '.join(words)}"


def read_planned(path: Path) -> tuple[list[dict[str, Any]], str]:
    """The sound entries of a plan, and what is wrong with the rest; nothing and no complaint where there is no file."""
    try:
        entries = json.loads(path.read_bytes())["runs"]
        wrong = [_entry_complaint(entry) for entry in entries]
    except FileNotFoundError:
        return [], ""
    except (ValueError, OSError, RecursionError, KeyError, TypeError) as error:
        return [], f"{path}: not a plan ({type(error).__name__}: {error})"
    complaints = [f"{path}: runs[{i}]: {complaint}" for i, complaint in enumerate(wrong) if complaint]
    more = f" (and {len(complaints) - 1} more)" if len(complaints) > 1 else ""
    sound = [entry for entry, complaint in zip(entries, wrong, strict=True) if not complaint]
    return sound, complaints[0] + more if complaints else ""


def _entry_complaint(entry: Any) -> str:
    if type(entry) is not dict:
        return _wrong("it", entry, TABLE)
    if wrong := _misfit(entry, PLANNED):
        return wrong
    strange = [stage for stage in entry["stages"] if stage not in STAGES]
    return f"stages = {repr(strange)[:40]}: expected some of {', '.join(STAGES)}" if strange else ""
