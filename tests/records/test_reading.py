"""Damaged records and plans of every kind: named and skipped by all that reads them, with the sound ones kept."""

import functools
import hashlib
import html
import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import SUITE, runs, write_suite

import run_all
from bench.config.suite import Run
from bench.errors import UsageError
from bench.records import records, retries
from bench.records.frame import read_frame
from bench.records.planned import write_plan
from bench.records.reading import read_planned, read_record
from bench.records.records import Measurement, write_stage
from bench.records.seal import read_json, write_arrays, write_json, write_sealed
from bench.report.artefacts import Artefacts

Damage = Callable[[Path], object]
FACTS = {"label": "FM w/ OT", "dataset_version": "1:abc", "parameters": 42, "steps": 6, "device": "cpu"}


def edited(**changes: Any) -> Damage:
    """Fields of the record overwritten, under a digest that holds; those given as Ellipsis are taken out."""

    def damage(path: Path) -> None:
        record = read_json(path) | changes
        write_json(path, {key: value for key, value in record.items() if value is not ...})

    return damage


def row(**changes: Any) -> Damage:
    """Fields of its second measurement overwritten."""

    def damage(path: Path) -> None:
        record = read_json(path)
        changed = record["measurements"][1] | changes
        record["measurements"][1] = {key: value for key, value in changed.items() if value is not ...}
        write_json(path, record)

    return damage


def text(before: str, after: str, sealed: bool = False) -> Damage:
    """A text of the file replaced by what `json.dumps` would not write."""

    def damage(path: Path) -> None:
        data = path.read_text(encoding="utf-8")
        assert before in data
        path.write_bytes(data.replace(before, after, 1).encode("utf-8", "surrogatepass"))
        if sealed:
            body = path.read_bytes().split(b"\n", 2)[2]
            path.write_bytes(b'{\n "digest": "%s",\n' % hashlib.sha256(body).hexdigest().encode() + body)

    return damage


def replaced_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replaced_by_a_link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def replaced_by_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def reformatted(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()), indent=4))


HUGE = int("9" * 400)
DEEP: Any = functools.reduce(lambda inner, _: [inner], range(150), 0)

DAMAGED: dict[str, tuple[Damage, str]] = {
    # The file.
    "half-written": (lambda path: path.write_text(path.read_text()[:400]), "Invalid JSON: EOF"),
    "empty": (lambda path: path.write_text(""), "Invalid JSON: EOF"),
    "binary": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" * 99), "Invalid JSON"),
    "zeros": (lambda path: path.write_bytes(bytes(4096)), "Invalid JSON"),
    "in Latin-1": (text("FM w/ OT", "FM w/ \udce9"), "Invalid JSON: invalid unicode"),
    "a byte-order mark": (lambda path: path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes()), "Invalid JSON"),
    "two records": (lambda path: path.write_bytes(path.read_bytes() * 2), "Invalid JSON: trailing characters"),
    "nested without end": (lambda path: path.write_text("[" * 100_000), "recursion limit"),
    "a list": (lambda path: path.write_text("[1, 2]"), "its content = [1, 2]: expected a table"),
    "a number": (lambda path: path.write_text("NaN"), "its content = nan: expected a table"),
    "null": (lambda path: path.write_text("null"), "its content = None: expected a table"),
    "a folder": (replaced_by_a_folder, "expected a file"),
    "a link to itself": (replaced_by_a_link_to_itself, "expected a file"),
    "a pipe that nobody writes": (replaced_by_a_pipe, "expected a file"),
    # Its digest.
    "a value edited by hand": (text('"value": 3.5', '"value": 2.5'), "damaged, or edited by hand"),
    "a digest of something else": (lambda path: path.write_bytes(path.read_bytes() + b" "), "damaged, or edited"),
    "no digest": (lambda path: path.write_text(json.dumps(read_json(path))), "no digest"),
    "reformatted": (reformatted, "no digest"),
    # What it is a record of.
    "an older schema": (edited(schema=1), "schema 1, this is 3"),
    "a later schema": (edited(schema=99), "schema 99, this is 3"),
    "a later schema with other fields": (edited(schema=4, measurements={}, seed="0"), "schema 4, this is 3"),
    "a schema of text": (edited(schema="2"), "schema = '2': expected 2 or 3"),
    "a schema that is true": (edited(schema=True), "schema = True: expected 2 or 3"),
    "no schema": (edited(schema=...), "no schema"),
    "no run": (edited(run_id=...), "no run_id"),
    "no stage": (edited(stage=...), "no stage"),
    "no fingerprint": (edited(fingerprint=...), "no fingerprint"),
    "no measurements": (edited(measurements=...), "no measurements"),
    "another status": (edited(status="fine"), "status = 'fine': expected 'ok' or 'failed'"),
    "a copy of another stage": (edited(stage="samples"), "samples, which counts at its own place"),
    "a copy of another run": (edited(run_id="checkerboard-fm_ot-000000-s7"), "a copy of checkerboard-fm_ot-000000-s7"),
    "a run in another folder": (edited(run_id="../../x"), "a copy of ../../x"),
    # Its fields.
    "a seed of text": (edited(seed="0"), "seed = '0': expected a whole number"),
    "a seed that is not a number": (edited(seed=math.nan), "seed = nan: expected a whole number"),
    "a seed with a fraction": (edited(seed=0.0), "seed = 0.0: expected a whole number"),
    "a seed of 400 digits": (edited(seed=HUGE), "seed = 999999"),
    "a batch below zero": (edited(global_batch=-1), "global_batch = -1: expected"),
    "parameters of 400 digits": (edited(parameters=HUGE), "parameters = 999999"),
    "steps below zero": (edited(steps=-6), "steps = -6: expected"),
    "steps that are true": (edited(steps=True), "steps = True: expected a whole number"),
    "versions in a list": (edited(versions=[]), "versions = []: expected a table"),
    "a version that is a number": (edited(versions={"torch": 2.15}), "versions.torch = 2.15: expected text"),
    "a dataset of another type": (edited(dataset={"name": "moons"}), "dataset = {'name': 'moons'}: expected text"),
    "a dataset without a name": (edited(dataset=""), "dataset = '': expected"),
    "a name with control characters": (
        edited(baseline="fm\x1b[31m"),
        "baseline = 'fm\\x1b[31m': expected text without",
    ),
    "a name without end": (edited(network="m" * 10_000), "network = 'mmmm"),
    "a label in a list": (edited(label=["FM"]), "label = ['FM']: expected text"),
    "a label with half a character": (
        text('"FM w/ OT"', '"FM \\ud83d"', sealed=True),
        "label = 'FM \\ud83d': expected text",
    ),
    "a commit that is a number": (edited(commit=10), "commit = 10: expected text"),
    "an error in a table": (edited(error={}), "error = {}: expected text"),
    "a configuration in a list": (edited(config=[1]), "config = [1]: expected a table"),
    "options of text": (edited(options="none"), "options = 'none': expected a table"),
    # Its measurements.
    "measurements in a table": (edited(measurements={}), "measurements = {}: expected a list"),
    "a measurement that is a number": (edited(measurements=[3.5]), "measurements[0] = 3.5: expected a table"),
    "a measurement that is null": (edited(measurements=[None]), "measurements[0] = None: expected a table"),
    "settings in a list": (row(settings=[]), "measurements[1].settings = []: expected a table"),
    "no settings": (row(settings=...), "no measurements[1].settings"),
    "settings nested without end": (
        row(settings={"a": functools.reduce(lambda v, _: [v], range(300), 0)}),
        "recursion",
    ),
    "half a character in a setting": (
        text('"solver": "dopri5"', '"solver": "\\udfff"', sealed=True),
        "Invalid JSON: ",
    ),
    "a value of text": (row(value="3.5"), "measurements[1].value = '3.5': expected a number"),
    "a value that is true": (row(value=True), "measurements[1].value = True: expected a number"),
    "a value in a list": (row(value=[3.5]), "measurements[1].value = [3.5]: expected a number"),
    "no value": (row(value=None), "measurements[1].value = None: expected a number"),
    "a value left out": (row(value=...), "no measurements[1].value"),
    "a value of 5,000 digits": (text('"value": 50.0', '"value": ' + "9" * 5000), "Invalid JSON: number out of range"),
    "no metric": (row(metric=...), "no measurements[1].metric"),
    "an empty metric": (row(metric=""), "measurements[1].metric = ''"),
    "a metric of two lines": (row(metric="w2\n"), "measurements[1].metric = 'w2\\n': expected text without"),
    "an n that is not a number": (row(n=math.nan), "measurements[1].n = nan: expected a whole number"),
    "an n below zero": (row(n=-20), "measurements[1].n = -20: expected"),
    "an n of 400 digits": (row(n=HUGE), "measurements[1].n = 999999"),
    "an n with a fraction": (row(n=20.0), "measurements[1].n = 20.0: expected a whole number"),
    "an error below zero": (row(stderr=-0.1), "measurements[1].stderr = -0.1: expected at least 0"),
    "an error of text": (row(stderr="small"), "measurements[1].stderr = 'small': expected a number"),
    "seconds below zero": (row(seconds=-1), "measurements[1].seconds = -1.0: expected at least 0"),
    "a reason that is a number": (row(reason=3), "measurements[1].reason = 3: expected text"),
}

# What is odd, and no fault: fields of a newer version, and what only a reader's own care could stumble over.
SOUND: dict[str, Damage] = {
    "fields of a newer version": edited(load=[0.5, {"of": 2}], plugins={"trig.py": "ab"}),
    "a measurement's field of a newer version": row(cpu_seconds=3.0),
    "settings nested deeply": row(settings={"a": DEEP}),
    "a setting that is not finite": row(settings={"tolerance": math.inf, "nfe": math.nan}),
    "a value that is not finite": row(value=-math.inf, stderr=math.nan, seconds=None),
    "a value of 400 digits": row(value=HUGE),
    "a setting of 400 digits": row(settings={"nfe": [HUGE], "steps": HUGE}),
    "a value that could not be had": row(value=math.nan, reason="diverged at 4 evaluations <b>&amp;"),
    "a dataset named like a path": edited(dataset="../../x", protocol="a%j%x", label="<script>x"),
    "no facts": edited(label=None, device=..., steps=None, parameters=..., versions=None, config=...),
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

    error = records.failed(root, run)
    assert not records.finished(root, run) and error is not None
    assert error.startswith(f"{path}: ") and words in error and "\n" not in error
    assert [found.state == "done" for found in records.stands(root, run).values()] == [True, False, True]

    write_plan(root, "about", [run])
    for _ in range(2):
        table = read_frame(root)
        assert list(table.stage) == ["train", "likelihood", "samples"]
        assert list(table.status) == ["ok", "failed", "ok"] and list(table.metric) == ["steps", "", "steps"]
        assert table.error[1] == error and set(table.run_id) == {run.run_id}
        (root / "plan.json").unlink(missing_ok=True)  # and without a plan the folder says that there was a record


def test_numbers_that_are_not_finite_are_measurements(tmp_path: Path, root: Path) -> None:
    run = runs(tmp_path)[0]
    write_stage(root, run, "train", [Measurement("train_loss", math.nan, math.inf)], FACTS)
    assert records.stands(root, run)["train"].state == "done"
    assert math.isnan(read_frame(root).value[0]) and read_frame(root).stderr[0] == math.inf


@pytest.mark.parametrize("kind", SOUND)
def test_what_is_odd_and_no_fault_is_read(tmp_path: Path, root: Path, kind: str) -> None:
    run = runs(tmp_path)[0]
    complete(root, run)
    SOUND[kind](records.run_folder(root, run.run_id) / "likelihood.json")
    assert records.finished(root, run) and records.failed(root, run) is None
    table = read_frame(root)
    assert set(table.status) == {"ok"} and list(table.metric) == ["steps", "nll_nats", "nfe_likelihood", "steps"]


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    return run_all.main(arguments), *capsys.readouterr()


@pytest.mark.slow
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


@pytest.mark.slow
def test_all_that_is_odd_at_once_is_reported(tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A seed for each kind, of two methods."""
    suite = write_suite(tmp_path, SUITE.replace("seeds = [0]", f"seeds = {list(range(len(SOUND)))}"))
    chosen = ["--suite", str(suite), "--results", str(tmp_path / "results")]
    planned = runs(tmp_path, suite.read_text())
    write_plan(root, "about", planned)
    for run in planned:
        complete(root, run)
        list(SOUND.values())[run.seed](records.run_folder(root, run.run_id) / "likelihood.json")
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    code, out, err = call(capsys, *chosen, "--status")
    assert (code, err) == (0, "") and out.splitlines()[-1] == f"{len(planned)} ok"
    code, out, err = call(capsys, *chosen, "--report")
    assert (code, err) == (0, "")
    new = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert all(path.is_relative_to(root) and not path.is_relative_to(root / "runs") for path in new)
    assert "<script>x" not in (root / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_retrying_removes_what_is_damaged_and_keeps_the_rest(tmp_path: Path, root: Path) -> None:
    run = runs(tmp_path)[0]
    for kind, (damage, _) in DAMAGED.items():
        complete(root, run)
        path = records.run_folder(root, run.run_id) / "likelihood.json"
        damage(path)
        if not path.is_file():
            with pytest.raises(UsageError, match=r"likelihood\.json: not a file; move away"):
                retries.forget_failure(root, run)
            path.rmdir() if path.is_dir() else path.unlink()
        retries.forget_failure(root, run)
        assert not path.exists(), kind
        assert [found.state == "done" for found in records.stands(root, run).values()] == [True, False, True]


def test_a_copied_folder_does_not_count_twice(tmp_path: Path, root: Path) -> None:
    run = runs(tmp_path)[0]
    complete(root, run)
    folder = records.run_folder(root, run.run_id)
    shutil.copytree(folder, folder.with_name(f"{run.run_id} (copy)"))
    table = read_frame(root)
    good = table[table.status == "ok"]
    assert len(good) == 4 and set(good.run_id) == {run.run_id}
    copies = table[table.run_id == f"{run.run_id} (copy)"]
    assert set(copies.status) == {"failed"} and len(copies) == 3
    assert all(f"a copy of {run.run_id} " in error for error in copies.error)


@pytest.mark.slow
def test_names_that_are_not_utf_8_are_named_and_the_rest_is_read(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = runs(tmp_path)[0]
    complete(root, run)
    folder = records.run_folder(root, run.run_id)
    shutil.copytree(folder, folder.with_name(f"{folder.name}\udcff"))
    shutil.copytree(folder, folder.with_name("caf\udce9\n-s0"))
    (folder / "\udcfe.json").write_text("{")
    (folder / "notes.json").write_text("{")
    write_plan(root, "about", [run])
    table = read_frame(root)
    assert len(table[table.status == "ok"]) == 4 and len(table[table.status == "failed"]) == 6
    table.to_csv(tmp_path / "table.csv")
    where = ["--suite", str(tmp_path / "tiny.toml"), "--results", str(tmp_path / "results"), "--baselines", "fm_ot"]
    assert call(capsys, *where, "--status")[0] == 0
    code, _, err = call(capsys, *where, "--report")
    assert (code, err) == (0, "")
    assert "a copy of" in (root / "report.html").read_text(encoding="utf-8")


# Arrays.


def another_array(path: Path) -> None:
    """An array that numpy would have to unpickle."""
    write_arrays(path, {"x": np.array([{}], dtype=object)})


ARRAYS: dict[str, tuple[Damage, str]] = {
    "half-written": (lambda path: os.truncate(path, 100), "no digest"),
    "empty": (lambda path: os.truncate(path, 0), "no digest"),
    "a flipped bit": (lambda path: path.write_bytes(path.read_bytes().replace(b"x.npy", b"y.npy")), "damaged"),
    "no digest": (lambda path: path.write_bytes(path.read_bytes()[:-73]), "no digest"),
    "more after it": (lambda path: path.write_bytes(path.read_bytes() + b"\n"), "no digest"),
    "text": (lambda path: write_sealed(path, lambda p: p.write_text("PK")), "ValueError"),
    "objects": (another_array, "allow_pickle"),
    "a folder": (replaced_by_a_folder, "IsADirectoryError"),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_damaged_arrays_cost_their_panel_and_are_named(root: Path, kind: str) -> None:
    damage, words = ARRAYS[kind]
    path = root / "runs" / "a-s0" / "samples.npz"
    write_arrays(path, {"x": np.arange(100.0)})
    assert Artefacts(root).arrays("a-s0", "samples")["x"][3] == 3
    damage(path)
    found = Artefacts(root)
    assert found.arrays("a-s0", "samples") == {}
    assert words in found.unreadable["runs/a-s0/samples.npz"]


# Single bits.


@pytest.mark.slow
@pytest.mark.parametrize("name", ["likelihood.json", "likelihood.npz", "plan.json"])
def test_every_flipped_bit_is_named(tmp_path: Path, root: Path, name: str) -> None:
    run = runs(tmp_path)[0]
    write_stage(root, run, "likelihood", [Measurement("w2", 3.5e-05, 0.1, 20)], FACTS, {"x": np.arange(4.0)})
    write_plan(root, "about", [run])
    folder = records.run_folder(root, run.run_id)
    path = root / name if name == "plan.json" else folder / name

    def complaint() -> str | None:
        if name == "plan.json":
            return read_planned(path.parent)[1]
        if name.endswith(".npz"):
            artefacts = Artefacts(root)
            artefacts.arrays(run.run_id, "likelihood")
            return "".join(artefacts.unreadable.values())
        record = read_record(path)
        return record and record["error"]

    assert not complaint()
    whole = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for position, byte in enumerate(whole):
            for bit in range(8):
                os.pwrite(file.fileno(), bytes([byte ^ 1 << bit]), position)
                assert complaint(), (position, bit)
            os.pwrite(file.fileno(), bytes([byte]), position)
    assert not complaint()


# Plans.


def entries(*runs: Any) -> Damage:
    return lambda path: write_json(path, {"about": "about", "runs": list(runs)})


def entry(**changes: Any) -> Damage:
    """Fields of the plan's one entry overwritten."""

    def damage(path: Path) -> None:
        plan = read_json(path)
        changed = plan["runs"][0] | changes
        write_json(path, {**plan, "runs": [{key: value for key, value in changed.items() if value is not ...}]})

    return damage


PLANS: dict[str, tuple[Damage, str]] = {
    "half-written": (lambda path: path.write_text('{"runs": ['), "Invalid JSON"),
    "empty": (lambda path: path.write_text(""), "Invalid JSON"),
    "a list": (lambda path: path.write_text("[]"), "its content = []: expected a table"),
    "a folder": (replaced_by_a_folder, "expected a file"),
    "nested without end": (lambda path: path.write_text("[" * 100_000), "recursion limit"),
    "no runs": (lambda path: write_json(path, {"about": ""}), "no runs"),
    "an about that is a number": (lambda path: write_json(path, {"about": 3, "runs": []}), "about = 3: expected text"),
    "runs that are a number": (lambda path: write_json(path, {"runs": 3}), "runs = 3: expected a list"),
    "runs that are texts": (entries("a", "b", "c"), "runs[0] = 'a': expected a table (and 2 more)"),
    "an entry without its run": (entries({"suite": "tiny"}), "no runs[0].run_id"),
    "edited by hand": (text('"seed": 0', '"seed": 7'), "damaged, or edited by hand"),
    "no digest": (lambda path: path.write_text(json.dumps(read_json(path))), "no digest"),
    "a seed of 400 digits": (entry(seed=HUGE), "runs[0].seed = 999999"),
    "a seed of text": (entry(seed="0"), "runs[0].seed = '0': expected a whole number"),
    "steps below zero": (entry(steps=-1), "runs[0].steps = -1: expected"),
    "an unknown stage": (entry(stages=["train", "cooking"]), "runs[0].stages[1] = 'cooking': expected 'train', 'like"),
    "stages of text": (entry(stages="train"), "runs[0].stages = 'train': expected a list"),
    "no label": (entry(label=...), "no runs[0].label"),
    "half a character": (text('"FM w/ OT"', '"\\ud83d"', sealed=True), "Invalid JSON"),
}


@pytest.mark.parametrize("kind", PLANS)
def test_a_damaged_plan_is_named_and_the_records_are_kept(tmp_path: Path, root: Path, kind: str) -> None:
    damage, words = PLANS[kind]
    run = runs(tmp_path)[0]
    complete(root, run)
    write_plan(root, "about", [run])
    damage(root / "plan.json")
    table = read_frame(root)
    (complaint,) = table[table.status == "failed"].error
    assert complaint.startswith(str(root / "plan.json")) and words in complaint and "\n" not in complaint
    assert len(table[table.run_id == run.run_id]) == 4
    assert read_planned(root)[0] == []


def test_the_sound_entries_of_a_damaged_plan_are_kept(tmp_path: Path, root: Path) -> None:
    first, second = runs(tmp_path)
    write_plan(root, "about", [first, second])
    plan = read_json(root / "plan.json")
    plan["runs"][0]["stages"] = ["train", "cooking"]
    write_json(root / "plan.json", plan)
    assert [entry["run_id"] for entry in read_planned(root)[0]] == [second.run_id]
    assert "stages[1] = 'cooking'" in read_frame(root).error[0]


# Submissions.


@pytest.mark.parametrize("content", ['{"job": ', "[]", '{"job": 3, "name": "a", "log": "b"}', "{}"])
def test_a_damaged_submission_is_the_reason_of_its_run_alone(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    whole, lost = runs(tmp_path)
    complete(root, whole)
    for run in (whole, lost):
        path = records.run_folder(root, run.run_id) / "slurm.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    where = ["--suite", str(tmp_path / "tiny.toml"), "--results", str(tmp_path / "results")]
    code, out, err = call(capsys, *where, "--status")
    assert (code, err) == (1, "") and out.splitlines()[-1] == "1 ok, 1 failed"
    assert f"{lost.run_id}/slurm.json: not a submission" in out
