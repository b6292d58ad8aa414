"""Damaged records and plans of every kind: named and skipped by all that reads them, with the sound ones kept."""

import html
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import SUITE, runs, write_suite

import run_all
from bench import records
from bench.errors import UsageError
from bench.records import Measurement, frame, write_plan, write_stage
from bench.suite import Run

Damage = Callable[[Path], object]
FACTS = {"label": "FM w/ OT", "dataset_version": "1:abc", "parameters": 42, "steps": 6, "device": "cpu"}


def edited(**changes: Any) -> Damage:
    """Fields of the record overwritten; those given as Ellipsis are taken out."""

    def damage(path: Path) -> None:
        record = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({key: value for key, value in record.items() if value is not ...}))

    return damage


def row(**changes: Any) -> Damage:
    """Fields of its second measurement overwritten."""

    def damage(path: Path) -> None:
        record = json.loads(path.read_text())
        changed = record["measurements"][1] | changes
        record["measurements"][1] = {key: value for key, value in changed.items() if value is not ...}
        path.write_text(json.dumps(record))

    return damage


def replaced_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replaced_by_a_link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


DAMAGED: dict[str, tuple[Damage, str]] = {
    "half-written": (lambda path: path.write_text(path.read_text()[:400]), "JSONDecodeError"),
    "empty": (lambda path: path.write_text(""), "JSONDecodeError"),
    "binary": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" * 99), "UnicodeDecodeError"),
    "zeros": (lambda path: path.write_bytes(bytes(4096)), "JSONDecodeError"),
    "nested without end": (lambda path: path.write_text("[" * 100_000), "RecursionError"),
    "a list": (lambda path: path.write_text("[1, 2]"), "its content = [1, 2]: expected a table"),
    "a number": (lambda path: path.write_text("NaN"), "its content = nan: expected a table"),
    "a folder": (replaced_by_a_folder, "IsADirectoryError"),
    "a link to itself": (replaced_by_a_link_to_itself, "OSError"),
    "an older schema": (edited(schema=0), "schema 0, this is 1"),
    "a later schema": (edited(schema=99), "schema 99, this is 1"),
    "no schema": (edited(schema=...), "no schema"),
    "no run": (edited(run_id=...), "no run_id"),
    "no stage": (edited(stage=...), "no stage"),
    "no fingerprint": (edited(fingerprint=...), "no fingerprint"),
    "no measurements": (edited(measurements=...), "no measurements"),
    "another status": (edited(status="fine"), "status = 'fine': expected 'ok' or 'failed'"),
    "a seed of text": (edited(seed="0"), "seed = '0': expected a whole number"),
    "a seed that is not a number": (edited(seed=math.nan), "seed = nan: expected a whole number"),
    "versions in a list": (edited(versions=[]), "versions = []: expected a table or null"),
    "a dataset of another type": (edited(dataset={"name": "moons"}), "dataset = {'name': 'moons'}: expected text"),
    "measurements in a table": (edited(measurements={}), "measurements = {}: expected a list"),
    "a measurement that is a number": (edited(measurements=[3.5]), "measurements[0] = 3.5"),
    "settings in a list": (row(settings=[]), "measurements[1].settings = []: expected a table"),
    "no settings": (row(settings=...), "measurements[1].no settings"),
    "a value of text": (row(value="3.5"), "measurements[1].value = '3.5': expected a number"),
    "a value that is true": (row(value=True), "measurements[1].value = True: expected a number"),
    "no value": (row(value=None), "measurements[1].value = None: expected a number"),
    "no metric": (row(metric=...), "measurements[1].no metric"),
    "an n that is not a number": (row(n=math.nan), "measurements[1].n = nan: expected a whole number or null"),
    "a copy of another stage": (edited(stage="samples"), "samples, which counts at its own place"),
    "a copy of another run": (edited(run_id="checkerboard-fm_ot-000000-s7"), "a copy of checkerboard-fm_ot-000000-s7"),
}


def complete(root: Path, run: Run) -> None:
    two = [Measurement("nll_nats", 3.5, 0.1, 20, settings={"solver": "dopri5"}), Measurement("nfe_likelihood", 50.0)]
    for stage in run.stages:
        write_stage(root, run, stage, two if stage == "likelihood" else [Measurement("steps", 6)], FACTS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "results" / "tiny"


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_record_is_a_failed_stage_with_the_reason(tmp_path: Path, root: Path, kind: str) -> None:
    damage, words = DAMAGED[kind]
    run = runs(tmp_path)[0]
    complete(root, run)
    path = records.run_folder(root, run.run_id) / "likelihood.json"
    damage(path)

    done, error = records.standing(root, run)
    assert not done and error is not None
    assert error.startswith(f"{path}: ") and words in error and "\n" not in error
    assert [records.stage_done(root, run, stage) for stage in run.stages] == [True, False, True]

    write_plan(root, "about", [run])
    for _ in range(2):
        table = frame(root)
        assert list(table.stage) == ["train", "likelihood", "samples"]
        assert list(table.status) == ["ok", "failed", "ok"] and list(table.metric) == ["steps", "", "steps"]
        assert table.error[1] == error and set(table.run_id) == {run.run_id}
        (root / "plan.json").unlink(missing_ok=True)  # and without a plan the folder says that there was a record


def test_numbers_that_are_not_finite_are_measurements(tmp_path: Path, root: Path) -> None:
    run = runs(tmp_path)[0]
    write_stage(root, run, "train", [Measurement("train_loss", math.nan, math.inf)], FACTS)
    assert records.stage_done(root, run, "train")
    assert math.isnan(frame(root).value[0]) and frame(root).stderr[0] == math.inf


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    return run_all.main(arguments), *capsys.readouterr()


def test_all_of_them_at_once_are_named_by_every_action(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A seed for each kind of damage, and one run that is whole."""
    suite = write_suite(tmp_path, SUITE.replace("seeds = [0]", f"seeds = {list(range(len(DAMAGED) + 1))}"))
    chosen = ["--suite", str(suite), "--results", str(tmp_path / "results"), "--baselines", "fm_ot"]
    planned = [run for run in runs(tmp_path, suite.read_text()) if run.baseline.name == "fm_ot"]
    write_plan(root, "about", planned)
    for run, (damage, _) in zip(planned, [*DAMAGED.values(), (lambda path: None, "")], strict=True):
        complete(root, run)
        damage(records.run_folder(root, run.run_id) / "likelihood.json")
    reasons = {run.run_id: words for run, (_, words) in zip(planned[:-1], DAMAGED.values(), strict=True)}

    code, out, err = call(capsys, *chosen, "--status")
    assert (code, err) == (1, "") and out.splitlines()[-1] == f"{len(DAMAGED)} failed, 1 ok"
    for line in out.splitlines()[:-2]:
        assert reasons[line.split()[1]] in line and "likelihood.json: " in line

    code, out, err = call(capsys, *chosen, "--report")
    assert (code, err) == (0, "")
    page = html.unescape((root / "report.html").read_text())
    csv = (root / "records.csv").read_text()
    for run_id, words in reasons.items():
        assert f"{run_id}/likelihood.json: " in csv and words in page

    code, out, err = call(capsys, *chosen, "--data-dir", str(tmp_path))
    assert (code, err) == (1, "") and out.startswith(f"nothing to do: 1 of {len(planned)} runs are finished")
    assert out.count("likelihood.json: ") == len(DAMAGED)


def test_retrying_removes_what_is_damaged_and_keeps_the_rest(tmp_path: Path, root: Path) -> None:
    run = runs(tmp_path)[0]
    for kind, (damage, _) in DAMAGED.items():
        complete(root, run)
        path = records.run_folder(root, run.run_id) / "likelihood.json"
        damage(path)
        if not path.is_file():
            with pytest.raises(UsageError, match=r"likelihood\.json: not a file; move away"):
                records.forget_failure(root, run)
            path.rmdir() if path.is_dir() else path.unlink()
        records.forget_failure(root, run)
        assert not path.exists(), kind
        assert [records.stage_done(root, run, stage) for stage in run.stages] == [True, False, True]


def test_a_copied_folder_does_not_count_twice(tmp_path: Path, root: Path) -> None:
    run = runs(tmp_path)[0]
    complete(root, run)
    folder = records.run_folder(root, run.run_id)
    shutil.copytree(folder, folder.with_name(f"{run.run_id} (copy)"))
    table = frame(root)
    good = table[table.status == "ok"]
    assert len(good) == 4 and set(good.run_id) == {run.run_id}
    copies = table[table.run_id == f"{run.run_id} (copy)"]
    assert set(copies.status) == {"failed"} and len(copies) == 3
    assert all(f"a copy of {run.run_id} " in error for error in copies.error)


# Plans.

PLANS = {
    "half-written": ('{"runs": [', "JSONDecodeError"),
    "a list": ("[]", "TypeError"),
    "no runs": ("{}", "KeyError"),
    "runs that are a number": ('{"runs": 3}', "TypeError"),
    "runs that are texts": ('{"runs": ["a", "b", "c"]}', "runs[0]: it = 'a': expected a table (and 2 more)"),
    "an entry without its run": ('{"runs": [{"suite": "tiny"}]}', "runs[0]: no run_id"),
}


@pytest.mark.parametrize("kind", PLANS)
def test_a_damaged_plan_is_named_and_the_records_are_kept(tmp_path: Path, root: Path, kind: str) -> None:
    text, words = PLANS[kind]
    run = runs(tmp_path)[0]
    complete(root, run)
    (root / "plan.json").write_text(text)
    table = frame(root)
    (complaint,) = table[table.status == "failed"].error
    assert complaint.startswith(str(root / "plan.json")) and words in complaint
    assert len(table[table.run_id == run.run_id]) == 4
    assert records.read_plan(root) == []


def test_the_sound_entries_of_a_damaged_plan_are_kept(tmp_path: Path, root: Path) -> None:
    first, second = runs(tmp_path)
    write_plan(root, "about", [first, second])
    plan = json.loads((root / "plan.json").read_text())
    plan["runs"][0]["stages"] = ["train", "cooking"]
    (root / "plan.json").write_text(json.dumps(plan))
    assert [entry["run_id"] for entry in records.read_plan(root)] == [second.run_id]
    assert "stages = ['cooking']: expected some of train" in frame(root).error[0]


def test_a_damaged_submission_is_one_line(tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = runs(tmp_path)[0]
    complete(root, run)
    (records.run_folder(root, run.run_id) / "slurm.json").write_text('{"job": ')
    where = ["--suite", str(tmp_path / "tiny.toml"), "--results", str(tmp_path / "results")]
    code, _, err = call(capsys, *where, "--status")
    assert code == 2 and err.count("\n") == 1 and "slurm.json: not a submission" in err
