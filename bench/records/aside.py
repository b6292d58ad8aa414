"""What a run has of a training that is stale: out of the way while it is trained anew, and back with `--keep-stale`."""

from pathlib import Path
from typing import Any

from bench.config.suite import Run
from bench.records import standing
from bench.records.locks import locked
from bench.records.reading import sound_record
from bench.records.records import read_stage, record_path, run_folder


def set_aside(root: Path, run: Run) -> list[str]:
    """Move the run's checkpoints and records to names with `.older`, which are returned."""
    found = [path for path in _files(root, run) if path.is_file()]
    for path in found:
        path.replace(_named(path, "older"))
    return [_named(path, "older").name for path in found]


def take_back(root: Path, run: Run) -> None:
    """Put back what was set aside, as far as it is whole, unless the run is trained anew by now or at it.

    It must be of today's settings and data. Checkpoints of the training that was begun get names with `.begun`.
    """
    trained, newer = _older(root, run, "train"), read_stage(root, run.run_id, "train")
    if not trained or (newer and newer["status"] == "ok"):
        return
    found = standing.of(trained, run, "train", root)
    if not (found.state == "done" or found.of_older_code):
        return
    # A record that was finished before the training is of the one before that.
    back = [s for s in run.stages if str(_older(root, run, s).get("finished", "")) >= str(trained["finished"])]
    with locked(run_folder(root, run.run_id) / "lock", wait=False) as free:
        for path in _files(root, run) if free else ():
            if path.suffix == ".pt" and path.is_file():
                path.replace(_named(path, "begun"))
            if _named(path, "older").is_file() and (path.suffix == ".pt" or path.stem in back):
                _named(path, "older").replace(path)


def _files(root: Path, run: Run) -> list[Path]:
    """What is moved, the training's record last: while it is at its place a move that was cut short is done again."""
    checkpoints = [run_folder(root, run.run_id) / name for name in ("checkpoint.pt", "checkpoint.previous.pt")]
    return checkpoints + [record_path(root, run.run_id, stage) for stage in reversed(run.stages)]


def _named(path: Path, what: str) -> Path:
    return path.with_suffix(f".{what}{path.suffix}")


def _older(root: Path, run: Run, stage: str) -> dict[str, Any]:
    """The record of a stage that was set aside; empty if there is none, or none that is sound."""
    path = _named(record_path(root, run.run_id, stage), "older")
    return sound_record(path.read_bytes())[0] if path.is_file() else {}
