"""Records: whole or absent, never trusted blindly, and the tidy frame made of them."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import runs

from bench.config.suite import Run
from bench.metrics.metric import facts_of
from bench.records import records, retries, seal
from bench.records.frame import COLUMNS, read_frame
from bench.records.planned import write_plan
from bench.records.reading import read_planned
from bench.records.records import Measurement, write_stage

FACTS = {
    "label": "FM w/ OT",
    "dataset_version": "1:abc",
    "given": False,
    "parameters": 42,
    "steps": 6,
    "device": "cpu",
    "device_count": 1,
    "commit": "0123456789",
    "versions": {"torch": "2", "python": "3"},
}
ROWS = [
    Measurement("nll_nats", 3.5, 0.1, 20, 1.5, {"solver": "dopri5", "draws": 1}),
    Measurement("nfe_likelihood", 50.0, None, 20, 1.5, {"solver": "dopri5"}),
]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return runs(tmp_path)[0]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "results" / "tiny"


def stage_file(root: Path, run: Run, stage: str) -> Path:
    return root / "runs" / run.run_id / f"{stage}.json"


def complete(root: Path, run: Run) -> None:
    write_stage(root, run, "train", [Measurement("steps", 6)], FACTS)
    write_stage(root, run, "likelihood", ROWS, FACTS, {"log_density": np.zeros((2, 2)), "extent": np.float64(4)})
    write_stage(root, run, "samples", [Measurement("w2", 0.2, n=20)], FACTS)


# Writing and reading.


def test_a_record_says_everything_of_its_run(root: Path, run: Run) -> None:
    write_stage(root, run, "likelihood", ROWS, FACTS)
    record = json.loads(stage_file(root, run, "likelihood").read_text())
    assert record["schema"] == 3 and record["stage"] == "likelihood" and record["status"] == "ok"
    assert record["error"] is None and record["fingerprint"] == run.fingerprint("likelihood")
    identity = {"run_id": run.run_id, "variant": run.variant, "suite": "tiny", "protocol": "smoke", "seed": 0}
    identity |= {"dataset": "checkerboard", "network": "mlp", "baseline": "fm_ot", "global_batch": 16}
    assert {k: record[k] for k in (*identity, *FACTS)} == identity | FACTS
    assert Run.model_validate(record["config"]) == run
    assert record["measurements"][0] == {
        "metric": "nll_nats",
        "value": 3.5,
        "stderr": 0.1,
        "n": 20,
        "seconds": 1.5,
        "settings": {"solver": "dopri5", "draws": 1},
        "reason": None,
        "place": {},
        "title": "NLL",
        "unit": "nats",
        "direction": "lower",
        "group": "likelihood",
        "meaning": facts_of("nll_nats").meaning,
    }
    assert [p.name for p in stage_file(root, run, "x").parent.iterdir()] == ["likelihood.json"]


def test_arrays_stand_beside_the_record_and_are_there_first(
    root: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    atomic = seal.write_atomic

    def spy(path: Path, write: Any) -> None:
        order.append(path.name)
        atomic(path, write)

    monkeypatch.setattr("bench.records.seal.write_atomic", spy)
    complete(root, run)
    assert order == ["train.json", "likelihood.npz", "likelihood.json", "samples.json"]
    with np.load(root / "runs" / run.run_id / "likelihood.npz") as arrays:
        assert arrays["log_density"].shape == (2, 2) and arrays["extent"] == 4


def test_arrays_of_an_earlier_record_do_not_stay_beside_the_next(root: Path, run: Run) -> None:
    complete(root, run)
    write_stage(root, run, "likelihood", [], FACTS, error="no room")
    assert stage_file(root, run, "likelihood").with_suffix(".npz").exists()  # the next try may keep them
    write_stage(root, run, "likelihood", ROWS, FACTS)
    assert not stage_file(root, run, "likelihood").with_suffix(".npz").exists()


def test_a_failure_is_that_of_the_first_stage_without_a_record(root: Path, run: Run) -> None:
    """A likelihood that failed before the samples were lost keeps its own reason."""
    write_stage(root, run, "train", [], FACTS)
    write_stage(root, run, "likelihood", [], FACTS, error="KeyError: 'velocity'")
    records.fail(root, run, "killed")
    found = {stage: (records.read_stage(root, run.run_id, stage) or {})["error"] for stage in run.stages}
    assert found == {"train": None, "likelihood": "KeyError: 'velocity'", "samples": "killed"}
    records.fail(root, run, "again")
    assert records.failed(root, run) == "again"


def test_a_run_is_finished_when_every_stage_is(root: Path, run: Run) -> None:
    write_stage(root, run, "train", [], FACTS)
    write_stage(root, run, "likelihood", ROWS, FACTS)
    assert not records.finished(root, run)
    write_stage(root, run, "samples", [], FACTS)
    assert records.finished(root, run) and records.failed(root, run) is None


def test_another_evaluation_asks_for_its_stage_again_and_for_no_training(tmp_path: Path, root: Path, run: Run) -> None:
    complete(root, run)
    (changed, _) = runs(tmp_path, settings={"evaluation.samples.n": 77})
    assert not records.finished(root, changed)
    done = [found.state == "done" for found in records.stands(root, changed).values()]
    assert done == [True, True, False]


# Failures.


def test_a_failure_is_recorded_for_the_first_stage_that_is_not_done(root: Path, run: Run) -> None:
    write_stage(root, run, "train", [], FACTS)
    records.fail(root, run, "dopri5:\n  underflow   in dt", FACTS)
    record = json.loads(stage_file(root, run, "likelihood").read_text())
    assert (record["status"], record["error"]) == ("failed", "dopri5: underflow in dt")
    assert records.failed(root, run) == "dopri5: underflow in dt"
    assert record["measurements"] == [] and record["label"] == "FM w/ OT"
    assert not stage_file(root, run, "samples").exists()


def test_a_reason_has_no_colours_and_no_half_characters(root: Path, run: Run) -> None:
    records.fail(root, run, "\x1b[31mno such file: caf\udce9\x00", FACTS)
    assert records.failed(root, run) == "[31mno such file: caf"


def test_a_failure_before_anything_is_known_says_what_code_it_was(root: Path, run: Run) -> None:
    records.fail(root, run, "no data")
    record = json.loads(stage_file(root, run, "train").read_text())
    assert record["error"] == "no data" and record["commit"] and record["versions"]["torch"]


def test_a_finished_run_cannot_fail(root: Path, run: Run) -> None:
    complete(root, run)
    records.fail(root, run, "too late")
    assert records.finished(root, run) and records.failed(root, run) is None


def test_forgetting_a_failure_keeps_what_is_good(root: Path, run: Run) -> None:
    write_stage(root, run, "train", [], FACTS)
    records.fail(root, run, "underflow", FACTS)
    retries.forget_failure(root, run)
    assert records.failed(root, run) is None
    assert stage_file(root, run, "train").exists() and not stage_file(root, run, "likelihood").exists()
    stage_file(root, run, "samples").write_text("damaged")
    retries.forget_failure(root, run)
    assert not stage_file(root, run, "samples").exists()


def test_a_failure_of_another_evaluation_is_not_this_ones(tmp_path: Path, root: Path, run: Run) -> None:
    write_stage(root, run, "train", [], FACTS)
    records.fail(root, run, "underflow", FACTS)
    (changed, _) = runs(tmp_path, settings={"evaluation.likelihood.n": 10})
    assert records.failed(root, run) == "underflow" and records.failed(root, changed) is None


# The frame.


def test_the_frame_is_one_row_a_measurement(root: Path, run: Run) -> None:
    complete(root, run)
    table = read_frame(root)
    assert list(table.columns) == COLUMNS
    assert sorted(table.metric) == ["nfe_likelihood", "nll_nats", "steps", "w2"]
    row = table[table.metric == "nll_nats"].iloc[0]
    assert (row.value, row.stderr, row.n, row.seconds) == (3.5, 0.1, 20, 1.5)
    assert json.loads(row.settings) == {"solver": "dopri5", "draws": 1}
    assert row.settings == '{"draws": 1, "solver": "dopri5"}'  # one spelling for one setting
    assert (row.run_id, row.variant, row.seed, row.label) == (run.run_id, run.variant, 0, "FM w/ OT")
    assert (row.status, row.error, row.steps, row.parameters) == ("ok", None, 6, 42)
    assert (row.global_batch, row.device_count, row.commit) == (16, 1, "0123456789")
    assert json.loads(row.versions) == FACTS["versions"]


def test_columns_are_those_that_reports_are_written_for() -> None:
    run_columns = ["run_id", "variant", "suite", "protocol", "dataset", "dataset_version", "given", "network"]
    run_columns += ["parameters", "baseline", "label", "seed", "stage", "current", "stale", "tuning", "tuned_to"]
    value_columns = ["metric", "title", "unit", "direction", "group", "meaning"]
    value_columns += ["value", "stderr", "n", "settings"]
    value_columns += ["step", "train_seconds", "nfe_training", "nfe", "seconds", "reason"]
    provenance = ["steps", "device", "device_count", "global_batch", "versions", "commit", "status", "error"]
    assert run_columns + value_columns + provenance == COLUMNS


def test_what_is_planned_and_not_there_is_missing(tmp_path: Path, root: Path, run: Run) -> None:
    both = runs(tmp_path)
    write_plan(root, "about", both)
    write_stage(root, run, "train", [Measurement("steps", 6)], FACTS)
    table = read_frame(root)
    assert list(table[table.run_id == run.run_id].status) == ["ok", "missing", "missing"]
    other = table[table.run_id == both[1].run_id]
    assert list(other.stage) == ["train", "likelihood", "samples"]
    assert set(other.status) == {"missing"} and set(other.metric) == {""} and set(other.label) == {"DDPM"}
    assert other.value.isna().all() and set(other.steps) == {6}
    # What one stage of a run says also describes its holes.
    assert set(table[table.run_id == run.run_id].parameters) == {42}
    assert set(table[table.run_id == run.run_id].given) == {False}


def test_a_failed_stage_is_one_row_with_its_reason(root: Path, run: Run) -> None:
    write_plan(root, "about", [run])
    write_stage(root, run, "train", [Measurement("steps", 6)], FACTS)
    records.fail(root, run, "underflow", FACTS)
    table = read_frame(root)
    assert list(table.status) == ["ok", "failed", "missing"]
    row = table.iloc[1]
    assert row.error == "underflow" and row.metric == "" and math.isnan(row.value) and row.label == "FM w/ OT"


def test_an_empty_folder_is_an_empty_frame(root: Path) -> None:
    assert list(read_frame(root).columns) == COLUMNS and len(read_frame(root)) == 0


def test_values_that_are_not_numbers_survive(root: Path, run: Run) -> None:
    write_stage(root, run, "train", [Measurement("train_loss", math.nan), Measurement("w2", math.inf)], FACTS)
    values = read_frame(root).value.tolist()
    assert math.isnan(values[0]) and values[1] == math.inf


# The plan.


def test_plans_add_up(tmp_path: Path, root: Path) -> None:
    first, second = runs(tmp_path)
    write_plan(root, "about", [first])
    write_plan(root, "about", [second])
    write_plan(root, "about", [first])
    assert [entry["run_id"] for entry in read_planned(root)[0]] == [first.run_id, second.run_id]
    assert json.loads((root / "plan.json").read_text())["about"] == "about"
    entry = read_planned(root)[0][0]
    assert entry["stages"] == ["train", "likelihood", "samples"] and entry["steps"] == 6
    assert {"run_id", "variant", "dataset", "baseline", "label", "seed", "stages", "steps"} <= set(entry)


def test_a_plan_is_current_until_other_settings_replace_it(tmp_path: Path, root: Path) -> None:
    def current() -> dict[tuple[str, str, int], bool]:
        table = read_frame(root)
        return dict(zip(zip(table.baseline, table.variant, table.seed, strict=True), table.current, strict=True))

    fm, ddpm = runs(tmp_path)
    write_plan(root, "about", [fm, ddpm])
    (slower,) = runs(tmp_path, baselines=["fm_ot"], settings={"training.lr": 0.01})
    write_plan(root, "about", [slower])
    fm_key, ddpm_key, slow_key = (("fm_ot", fm.variant, 0), ("ddpm", ddpm.variant, 0), ("fm_ot", slower.variant, 0))
    assert current() == {fm_key: False, ddpm_key: True, slow_key: True}
    (again,) = runs(tmp_path, baselines=["fm_ot"], seeds=[1])
    write_plan(root, "about", [again])  # the settings of before with one more seed
    assert current() == {fm_key: True, ddpm_key: True, slow_key: False, ("fm_ot", fm.variant, 1): True}


def test_a_record_under_settings_that_the_plan_does_not_ask_for_has_no_values(tmp_path: Path, root: Path) -> None:
    (now,) = runs(tmp_path, baselines=["fm_ot"])
    complete(root, now)
    write_plan(root, "about", [now])
    assert set(read_frame(root).stale) == {""}
    (later,) = runs(tmp_path, baselines=["fm_ot"], settings={"evaluation.likelihood.n": 10})
    write_plan(root, "about", [later])
    table = read_frame(root).set_index("stage")
    assert table.stale.to_dict() == {"train": "", "likelihood": "measured under other settings", "samples": ""}
    assert table.status["likelihood"] == "missing" and table.status["train"] == "ok"


def test_a_damaged_plan_is_written_anew(root: Path, run: Run) -> None:
    root.mkdir(parents=True)
    (root / "plan.json").write_text('{"runs": [')
    assert read_planned(root)[0] == []
    write_plan(root, "about", [run])
    assert [entry["run_id"] for entry in read_planned(root)[0]] == [run.run_id]


def test_what_a_model_cannot_have_leaves_its_stage_done_and_nothing_to_retry(root: Path, run: Run) -> None:
    why = "not applicable: a GAN has no density"
    rows = [Measurement("nll_nats", math.nan, None, 20, reason=why), Measurement("w2", math.nan, reason="diverged")]
    write_stage(root, run, "train", [], FACTS)
    write_stage(root, run, "likelihood", rows[:1], FACTS)
    stand = records.stands(root, run)["likelihood"]
    assert (stand.state, stand.lost) == ("done", ()) and retries.lost(records.stands(root, run)) == {}
    retries.ask_again(root, run)
    assert records.stands(root, run)["likelihood"].state == "done"
    write_stage(root, run, "likelihood", rows, FACTS)
    assert retries.lost(records.stands(root, run)) == {("likelihood", "diverged"): ["w2"]}
