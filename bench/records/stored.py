"""The runs that lie in a folder of results, whether its plan knows them or not."""

from pathlib import Path
from typing import Any, NamedTuple

from bench.config.settings import STAGES
from bench.records.reading import read_planned, read_record
from bench.records.records import run_folder


class Stored(NamedTuple):
    """A run's folder, and what the plan says of it: nothing of a run that it does not know."""

    folder: Path
    entry: dict[str, Any]

    def records(self) -> dict[str, dict[str, Any]]:
        """The record of every stage that has one, a failed one for what is not sound."""
        found = {stage: read_record(self.folder / f"{stage}.json") for stage in STAGES}
        return {stage: record for stage, record in found.items() if record}


def stored(root: Path) -> tuple[list[Stored], str]:
    """The runs, those of the plan first, and what is wrong with the plan."""
    entries, complaint = read_planned(root)
    folders = {run_folder(root, entry["run_id"]): entry for entry in entries}
    for path in sorted((root / "runs").glob("*")):
        if path.is_dir():
            folders.setdefault(path, {})
    return [Stored(*run) for run in folders.items()], complaint
