"""What a record says of a measurement, and how one of the schema before is read."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import SUITE, runs

from bench.config.suite import Run
from bench.records.frame import read_frame
from bench.records.planned import write_plan
from bench.records.reading import read_record
from bench.records.records import Measurement, record_path, write_stage
from bench.records.seal import read_json, write_json

AT = {"step": 3, "train_seconds": 0.5, "nfe_training": 3.0}
NEW = ("title", "unit", "direction", "group", "meaning", "place")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return runs(tmp_path, SUITE + "[experiments.evaluation.sweep]\nn = 20\n")[0]


def as_schema_2(path: Path, *settings: dict[str, Any]) -> None:
    """The record as it was written before, with these settings of its measurements."""
    record = read_json(path) | {"schema": 2}
    rows = [{k: v for k, v in row.items() if k not in NEW} for row in record["measurements"]]
    old = [row | {"settings": own} for row, own in zip(rows, settings, strict=True)]
    write_json(path, record | {"measurements": old})


def test_a_place_is_no_setting(tmp_path: Path, run: Run) -> None:
    rows = [Measurement("w2", 0.4, settings={"batch": 4}, place=AT), Measurement("train_seconds", 1.0)]
    write_stage(tmp_path, run, "train", rows, {})
    frame = read_frame(tmp_path)
    assert list(frame.settings) == ['{"batch": 4}', "{}"]
    assert frame.loc[0, list(AT)].to_dict() == AT and frame.loc[1, list(AT)].isna().all() and frame.nfe.isna().all()
    assert list(frame.title) == ["W₂", "Training time"] and list(frame.unit) == ["", "s"]
    assert list(frame.direction) == ["lower", "lower"] and list(frame.group) == ["quality", "cost"]


@pytest.mark.parametrize(
    ("stage", "old", "settings", "place"),
    [
        ("train", {"curve": True, **AT, "batch": 4}, {"batch": 4}, AT),
        ("train", {"step": 6}, {"step": 6}, {}),
        ("sweep", {"sampler": "euler", "nfe": 4.0}, {"sampler": "euler"}, {"nfe": 4.0}),
        ("samples", {"nfe": 4.0}, {"nfe": 4.0}, {}),
        ("samples", {"curve": True, **AT}, {"curve": True, **AT}, {}),
        ("train", {"curve": "roc", "step": 3}, {"curve": "roc", "step": 3}, {}),
    ],
)
def test_a_record_of_the_schema_before_reads_as_one_of_today(
    tmp_path: Path, run: Run, stage: Any, old: dict[str, Any], settings: dict[str, Any], place: dict[str, Any]
) -> None:
    write_stage(tmp_path, run, stage, [Measurement("fd_digits_cnn", 0.4, settings=settings, place=place)], {})
    path = record_path(tmp_path, run.run_id, stage)
    now = read_record(path)
    as_schema_2(path, old)
    assert json.loads(path.read_text())["schema"] == 2
    found = read_record(path)
    assert found and now and found["schema"] == 3
    assert found["measurements"] == now["measurements"]
    assert found["measurements"][0]["title"] == "FD digits-cnn"


def test_settings_of_today_are_kept_whatever_they_are_called(tmp_path: Path, run: Run) -> None:
    own = {"curve": "roc", "step": 2, "nfe": 4, "value": 1, "metric": "l2", "place": "first", "settings": {"n": 3}}
    for stage in ("train", "sweep"):
        write_stage(tmp_path, run, stage, [Measurement("of_a_plugin", 1.0, settings=own, place={"nfe": 9.0})], {})  # type: ignore[arg-type]
        record = read_record(record_path(tmp_path, run.run_id, stage))
        assert record and record["measurements"][0]["settings"] == own
    frame = read_frame(tmp_path)
    assert [json.loads(text) for text in frame.settings] == [own, own]
    assert list(frame.nfe) == [9.0, 9.0] and frame.step.isna().all() and set(frame.metric) == {"of_a_plugin"}


def test_settings_of_any_type_can_be_written(tmp_path: Path, run: Run) -> None:
    own = {
        "path": Path("a/b"),
        "scale": np.float32(0.5),
        "k": np.int64(3),
        "t": torch.tensor(2),
        "grid": (1, 2),
        7: {8},
    }
    write_stage(tmp_path, run, "samples", [Measurement("w2", 1.0, settings=own)], {})  # type: ignore[arg-type]
    record = read_record(record_path(tmp_path, run.run_id, "samples"))
    expected = {"path": "a/b", "scale": 0.5, "k": 3, "t": 2, "grid": [1, 2], "7": "{8}"}
    assert record and record["measurements"][0]["settings"] == expected


def test_fields_of_a_newer_version_change_nothing_that_the_plan_says(tmp_path: Path, run: Run) -> None:
    write_stage(tmp_path, run, "train", [Measurement("steps", 6)], {"stale": "newly", "current": False, "label": None})
    write_plan(tmp_path, "", [run])
    row = read_frame(tmp_path).iloc[0]
    assert (row.stale, row.current, row.label, row.status) == ("", True, "FM w/ OT", "ok")


def test_a_metric_that_is_not_known_here_keeps_what_its_record_says(tmp_path: Path, run: Run) -> None:
    write_stage(tmp_path, run, "samples", [Measurement("of_a_plugin", 1.0)], {})
    path = record_path(tmp_path, run.run_id, "samples")
    assert read_frame(tmp_path)[["title", "group"]].values.tolist() == [["of_a_plugin", ""]]
    record = read_json(path)
    record["measurements"][0] |= {"title": "Mine", "unit": "m", "direction": "higher", "group": "quality"}
    write_json(path, record)
    assert read_frame(tmp_path)[["title", "unit", "direction"]].values.tolist() == [["Mine", "m", "higher"]]


def test_a_place_that_is_no_number_is_none(tmp_path: Path, run: Run) -> None:
    write_stage(tmp_path, run, "sweep", [Measurement("w2", 1.0)], {})
    path = record_path(tmp_path, run.run_id, "sweep")
    as_schema_2(path, {"nfe": "text"})
    assert read_frame(tmp_path).nfe.isna().all()
    record = read_json(path)
    record["measurements"][0]["place"] = {"nfe": "text"}
    write_json(path, record)
    found = read_record(path)
    assert found and found["status"] == "failed"
    assert found["error"].endswith("not a record (measurements[0].place.nfe = 'text': expected a number)")


def test_the_reference_records_are_read_whole(reference: Callable[[str], Path]) -> None:
    """They were written under the schema before: every curve has its place, and every number its facts."""
    frame = read_frame(reference("images"))
    assert set(frame.status) == {"ok"} and not frame.settings.str.contains('"curve"|"nfe"').any()
    curve = frame[frame.step.notna()]
    assert set(curve.stage) == {"train"} and {"nll_bpd", "nfe_sampling"} < set(curve.metric)
    assert curve.train_seconds.gt(0).all() and curve.nfe_training.gt(0).all()
    assert frame[frame.stage == "sweep"].nfe.gt(0).all() and frame[frame.stage != "sweep"].nfe.isna().all()
    assert frame[frame.group == ""].metric.isin(["steps", "train_loss"]).all()
    assert not any(math.isnan(value) for value in frame.value)


@pytest.mark.slow
def test_records_are_read_without_torch(tmp_path: Path, run: Run) -> None:
    write_stage(tmp_path, run, "samples", [Measurement("w2", 0.3)], {})
    script = """
import sys
from pathlib import Path
from bench.records.planned import write_plan
from bench.records.reading import read_record
assert read_record(Path(sys.argv[1]))["measurements"][0]["title"] == "W₂"
assert not {"torch", "numpy", "pandas"} & set(sys.modules)
"""
    path = record_path(tmp_path, run.run_id, "samples")
    subprocess.run([sys.executable, "-c", script, str(path)], check=True, timeout=60)
