"""A training that is stale is set aside for the next one, and taken back where that was begun by mistake."""

import time
from pathlib import Path

import pytest
from tiny import SUITE, runs

from bench.config.suite import Run
from bench.records import records
from bench.records.aside import set_aside, take_back
from bench.records.locks import locked
from bench.records.seal import write_json

HEX = "0" * 64


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run whose records are of older code and set aside, and whose training has begun anew."""
    run = runs(tmp_path, SUITE)[0]
    folder = records.run_folder(tmp_path, run.run_id)
    for stage in run.stages:
        records.write_stage(tmp_path, run, stage, [], {})
        edit(tmp_path, run, stage, code=HEX)
    (folder / "checkpoint.pt").write_text("whole")
    assert records.stands(tmp_path, run)["train"].of_older_code
    named = ["checkpoint.older.pt", *(f"{stage}.older.json" for stage in reversed(run.stages))]
    assert set_aside(tmp_path, run) == named and set(states(tmp_path, run)) == {"missing"}
    (folder / "checkpoint.pt").write_text("begun")
    return run


def edit(root: Path, run: Run, stage: str, **fields: object) -> None:
    path = records.record_path(root, run.run_id, stage)
    write_json(path, {**(records.read_stage(root, run.run_id, stage) or {}), **fields})


def states(root: Path, run: Run) -> list[str]:
    return [found.state for found in records.stands(root, run).values()]


def test_what_was_set_aside_is_taken_back_and_vouched_for(tmp_path: Path, run: Run) -> None:
    records.fail(tmp_path, run, "Slurm job 12_0 ended as CANCELLED")
    take_back(tmp_path, run)
    assert records.vouch(tmp_path, run) == len(run.stages) and set(states(tmp_path, run)) == {"done"}
    folder = records.run_folder(tmp_path, run.run_id)
    assert (folder / "checkpoint.pt").read_text() == "whole" and (folder / "checkpoint.begun.pt").read_text() == "begun"
    assert not list(folder.glob("*.older.*"))


def test_a_training_that_was_done_since_or_is_under_way_keeps_its_place(tmp_path: Path, run: Run) -> None:
    folder = records.run_folder(tmp_path, run.run_id)
    with locked(folder / "lock"):
        take_back(tmp_path, run)
    assert set(states(tmp_path, run)) == {"missing"}
    records.write_stage(tmp_path, run, "train", [], {})
    take_back(tmp_path, run)
    assert states(tmp_path, run)[:2] == ["done", "missing"] and (folder / "checkpoint.pt").read_text() == "begun"


def test_what_is_damaged_or_of_other_settings_is_left_aside(tmp_path: Path, run: Run) -> None:
    folder = records.run_folder(tmp_path, run.run_id)
    (folder / "likelihood.older.json").write_text("half")
    take_back(tmp_path, run)
    assert (folder / "likelihood.older.json").exists() and states(tmp_path, run)[:2] == ["stale", "missing"]
    for fields in ({"fingerprint": "of before"}, {"measurements": 3}):
        edit(tmp_path, run, "train", **fields)
        set_aside(tmp_path, run)
        take_back(tmp_path, run)
        assert states(tmp_path, run)[0] == "missing" and not (folder / "checkpoint.pt").exists()
        records.write_stage(tmp_path, run, "train", [], {})


def test_a_stage_of_the_training_before_the_last_one_is_left_aside(tmp_path: Path, run: Run) -> None:
    time.sleep(0.002)
    records.write_stage(tmp_path, run, "train", [], {})
    set_aside(tmp_path, run)
    take_back(tmp_path, run)
    assert states(tmp_path, run)[:2] == ["done", "missing"]
