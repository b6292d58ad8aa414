"""What lies on a disk, checked before anything is made of it: records and plans that may be damaged.

A record can be half-written by a foreign tool, edited by hand, copied from another run or left by another version. One
that is not sound is no reason to stop: it reads as a failed stage whose error names the file, the field, its value
and what was expected there. A plan's entry that is not sound is left out, and said. What a sound one holds is said in
bench/records/schema.py.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bench.config.names import safe_name
from bench.records.measurement import modern
from bench.records.schema import SCHEMA, Entry, Plan, Record
from bench.records.seal import check_json
from bench.records.stamps import Stamp, is_settled, stamp_of

RECORD = TypeAdapter(Record)
PLAN = TypeAdapter(Plan)
ENTRY = TypeAdapter(Entry)
_plan: dict[Path, tuple[Stamp, tuple[list[dict[str, Any]], str]]] = {}  # the last that was read
EXPECTED = {  # by pydantic's type of error
    "string_type": "text",
    "string_unicode": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "dict_type": "a table",
    "list_type": "a list",
    "string_pattern_mismatch": "text without control characters",
}


def read_record(path: Path) -> dict[str, Any] | None:
    """The record at RUN/STAGE.json; None if there is none; a failed one naming the file if it is not sound."""
    try:
        record, complaint = sound_record(_read(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        record, complaint = {}, f"not a record ({type(error).__name__}: {error.strerror or error})"
    stage = path.stem
    if not complaint and (safe_name(record["run_id"]), record["stage"]) != (path.parent.name, stage):
        complaint = f"a copy of {record['run_id']} {record['stage']}, which counts at its own place"
    if complaint:
        return {"stage": stage, "status": "failed", "error": " ".join(f"{utf8(str(path))}: {complaint}".split())}
    return record


def sound_record(data: bytes) -> tuple[dict[str, Any], str]:
    """The record that the bytes of a file are, as today's schema has it, or nothing and what is wrong with them."""
    try:
        record: Any = RECORD.validate_json(data)
    except ValidationError as error:
        is_unread = error.errors()[0]["type"] == "json_invalid"
        return {}, _misfit((_by_key(data) if is_unread else None) or error)
    for i, row in enumerate(record["measurements"]):
        for key in ("stderr", "seconds"):
            if (row[key] or 0) < 0:  # pydantic's bound would refuse NaN, too
                return {}, f"not a record (measurements[{i}].{key} = {row[key]}: expected at least 0)"
    if unsealed := check_json(data):
        return {}, f"not a record ({unsealed})"
    if record["schema"] != SCHEMA:
        rows = [modern(row, record["stage"]) for row in record["measurements"]]
        record = {**record, "schema": SCHEMA, "measurements": rows}
    return record, ""


def _by_key(data: bytes) -> ValidationError | None:
    """The fault of bytes that JSON's own reader takes, half a surrogate too, so that its key is known."""
    try:
        RECORD.validate_python(json.loads(data.decode()))
    except ValidationError as error:
        return error
    except (ValueError, RecursionError):
        pass
    return None


def _misfit(error: ValidationError) -> str:
    """The first fault of a record's bytes; another schema comes before what follows from it."""
    faults: Any = error.errors(include_url=False)
    first = next((fault for fault in faults if fault["loc"] == ("schema",)), faults[0])
    schema = first["input"]
    if first["loc"] == ("schema",) and type(schema) is int:
        return f"schema {repr(schema)[:40]}, this is {SCHEMA}; --retry measures the stage again"
    return f"not a record ({_fault(first)})"


def _fault(fault: Any) -> str:
    """One of pydantic's complaints: the field, its value and what is expected."""
    kind, place = fault["type"], "its content"
    if kind == "json_invalid":
        return str(fault["msg"])
    for i, part in enumerate(fault["loc"]):
        place = f"{place}[{part}]" if type(part) is int else f"{place}.{part}" if i else str(part)
    if kind == "missing":
        return f"no {place}"
    expected = EXPECTED.get(kind) or str(fault.get("ctx", {}).get("expected") or fault["msg"].lower())
    return f"{place} = {repr(fault['input'])[:40]}: expected {expected}"


def utf8(text: str) -> str:
    """Text with "\ufffd" for what UTF-8 cannot hold: bytes of a file's name, lone surrogates."""
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _read(path: Path) -> bytes:
    """All bytes of a regular file: a pipe at its place would be waited for."""
    if not path.is_file() and (path.is_symlink() or path.exists()):
        raise OSError("expected a file")
    return path.read_bytes()


def read_planned(root: Path) -> tuple[list[dict[str, Any]], str]:
    """The sound entries of root/plan.json, and what is wrong with the rest; nothing and no complaint without a file.

    A file is read again once it has changed.
    """
    path = (root / "plan.json").absolute()
    stamp = stamp_of(path)
    if stamp is None or not is_settled(stamp):
        return _planned(root / "plan.json")
    if path not in _plan or _plan[path][0] != stamp:
        _plan.clear()
        _plan[path] = stamp, _planned(root / "plan.json")
    entries, complaint = _plan[path][1]
    return list(entries), complaint


def _planned(path: Path) -> tuple[list[dict[str, Any]], str]:
    try:
        data = _read(path)
        runs = PLAN.validate_json(data)["runs"]
        complaint = check_json(data)
    except FileNotFoundError:
        return [], ""
    except OSError as error:
        complaint = f"{type(error).__name__}: {error.strerror or error}"
    except ValidationError as error:
        complaint = _fault(error.errors(include_url=False)[0])
    if complaint:
        return [], f"{utf8(str(path))}: not a plan ({complaint})"
    sound: list[Any] = []
    complaints = []
    for i, entry in enumerate(runs):
        try:
            sound.append(ENTRY.validate_python(entry))
        except ValidationError as error:
            fault: Any = error.errors(include_url=False)[0]
            complaints.append(f"{utf8(str(path))}: " + _fault({**fault, "loc": ("runs", i, *fault["loc"])}))
    more = f" (and {len(complaints) - 1} more)" if len(complaints) > 1 else ""
    return sound, complaints[0] + more if complaints else ""
