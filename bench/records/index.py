"""Where the stages of many runs stand, with what their records say of it kept in one file beside them.

A record that was read is known by the stamp of its file (bench/records/stamps.py). One of another stamp is read anew,
whole, as is one that is not sound. What is kept goes once the source that reads records is another.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from bench.config.names import safe_name
from bench.config.suite import Run
from bench.errors import is_lost
from bench.records.reading import read_record
from bench.records.records import stands
from bench.records.seal import read_json, write_json
from bench.records.stamps import Stamp, is_settled, stamp_of
from bench.records.standing import Stands

KEPT_IN = ".standing.json"
FEWEST = 500  # records that must have been read for the file to be written: fewer are read as soon again
READERS = ("index", "measurement", "reading", "schema", "standing", "tuned")
SHARED = ("status", "code", "sources", "inputs", "vouched", "curve", "tuned")  # of many records the same
OWN = ("fingerprint", "finished", "error", "again")


def stands_of(root: Path, runs: Iterable[Run]) -> Stands:
    """Where every stage of each run stands (bench/records/records.py: stands), by run_id."""
    index, chosen = Index(root), dict[str, Any]()
    found = {run.run_id: stands(root, run, index.read, chosen) for run in runs}
    index.save()
    return found


class Index:
    """What records say of their standing, read from the file that keeps it or from themselves.

    `read_anew` counts the records that were read themselves.
    """

    def __init__(self, root: Path) -> None:
        self._root, self._runs = root, os.path.join(root, "runs")
        self._shared: list[dict[str, Any]] = []
        self._known: dict[str, tuple[Stamp, int, dict[str, Any]]] = {}
        self.read_anew = 0
        with suppress(OSError, ValueError, KeyError, TypeError):  # without it every record is read
            kept = read_json(root / KEPT_IN)
            if kept["readers"] == _readers():
                known = {name: (tuple(stamp), place, own) for name, (stamp, place, own) in kept["records"].items()}
                self._shared, self._known = kept["shared"], known
        self._places = {json.dumps(shared): place for place, shared in enumerate(self._shared)}

    def read(self, run_id: str, stage: str) -> dict[str, Any] | None:
        """What the record of a stage says of its standing; of its measurements it has those that were lost."""
        name = f"{safe_name(run_id)}/{stage}.json"
        path = f"{self._runs}/{name}"
        stamp = stamp_of(path)
        kept = self._known.get(name)
        if kept and stamp == kept[0]:
            return self._shared[kept[1]] | kept[2]
        record = read_record(Path(path))
        if record is None:
            return None
        self.read_anew += 1
        if stamp and "fingerprint" in record and is_settled(stamp):
            self._keep(name, stamp, record)
        return record

    def _keep(self, name: str, stamp: Stamp, record: dict[str, Any]) -> None:
        shared = {key: record[key] for key in SHARED if record.get(key) is not None}
        own: dict[str, Any] = {key: record[key] for key in OWN if record.get(key) is not None}
        rows = record["measurements"]
        own["measurements"] = [{k: row[k] for k in ("metric", "reason")} for row in rows if is_lost(row.get("reason"))]
        place = self._places.setdefault(json.dumps(shared), len(self._shared))
        if place == len(self._shared):
            self._shared.append(shared)
        self._known[name] = stamp, place, own

    def save(self) -> None:
        """Write the file if many records were read; a folder that may only be read goes without."""
        if self.read_anew >= FEWEST:
            with suppress(OSError):
                kept = {"readers": _readers(), "shared": self._shared, "records": self._known}
                write_json(self._root / KEPT_IN, kept)


@cache
def _readers() -> str:
    """Digest of the source by which a record is sound and says what it says."""
    texts = (Path(__file__).with_name(f"{name}.py").read_bytes() for name in READERS)
    return hashlib.sha256(b"".join(texts)).hexdigest()
