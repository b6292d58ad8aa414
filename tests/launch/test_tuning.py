"""A suite that tunes, from its trials to its report, and what goes on after an interruption."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from tiny import SUITE, runs

import run_all
from bench.config.suite import Run
from bench.estimate.packing import makespan
from bench.launch.job import Job
from bench.launch.slurm import MANY, _shortest
from bench.launch.together import grouped
from bench.records.records import fail, read_stage, record_path

TEXT = SUITE.replace('["fm_ot", "ddpm"]', '["fm_ot"]').replace("overrides.ddpm", "#").replace("[0]", "[0, 1]")
TEXT = "\n".join(line for line in TEXT.splitlines() if "samples" not in line) + "\n"
TEXT += "tune = { training.lr = [1e-9, 2e-2], untuned = [0] }\n"


def done(root: Path, run: Run) -> Job:
    job = Job(run, root, root / "data")
    job.folder.mkdir(parents=True, exist_ok=True)
    job()
    return job


def log(job: Job) -> str:
    return (job.folder / "log.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_run_trains_with_what_its_trials_chose_and_goes_on_with_it(tmp_path: Path) -> None:
    every = runs(tmp_path, TEXT)
    trials, tuned = [run for run in every if run.trial], [run for run in every if run.tune]
    early = done(tmp_path, tuned[0])
    assert "failed: its trial" in log(early) and log(early).rstrip().endswith("is not trained")
    (early.folder / "train.json").unlink()
    for trial in trials:
        done(tmp_path, trial)
    job = done(tmp_path, tuned[0])
    record = read_stage(tmp_path, tuned[0].run_id, "train")
    assert record and record["tuned"]["to"] == {"training.lr": 2e-2} == {
        "training.lr": record["config"]["training"]["lr"]
    }
    assert "tuned to training.lr = 0.02: nll_defensive_nats" in log(
        job
    ) and "0.02 is at the edge of what was tried" in log(job)
    found = {row["metric"]: row["value"] for row in record["measurements"]}
    spent = [read_stage(tmp_path, trial.run_id, "train") or {} for trial in trials]
    seconds = [row["value"] for one in spent for row in one["measurements"] if row["metric"] == "train_seconds"]
    assert found["tuning_seconds"] == pytest.approx(sum(seconds)) and found["tuning_evaluations"] == 12.0
    assert found["nfe_training"] == 6.0  # its own training, from the start
    curve = [row for row in spent[0]["measurements"] if row["place"]]
    assert {row["settings"].get("split", "validation") for row in curve} == {"validation"} and curve

    # The weights are those of an untuned run at that rate.
    other = tuned[0].with_values({"training.lr": 2e-2}).model_copy(update={"tune": None})
    plain = done(tmp_path, other)
    weights = [torch.load(one.checkpoint, weights_only=True)["module"] for one in (job, plain)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])

    # Once its record is lost it goes on from the checkpoint with the same choice.
    (job.folder / "train.json").unlink()
    job = done(tmp_path, tuned[0])
    again = read_stage(tmp_path, tuned[0].run_id, "train")
    assert log(job).count("resumed at step 6") == 1 and again and again["tuned"] == record["tuned"]
    assert [row["value"] for row in again["measurements"] if row["metric"] == "train_loss"] == [found["train_loss"]]

    # Trials that choose otherwise leave it no checkpoint to go on from.
    (job.folder / "train.json").unlink()
    failed = read_stage(tmp_path, trials[1].run_id, "train") or {}
    record_path(tmp_path, trials[1].run_id, "train").unlink()
    fail(tmp_path, trials[1], "diverged", {key: failed[key] for key in ("versions", "commit")})
    job = done(tmp_path, tuned[0])
    assert "it is of another choice of what is tuned" in log(job)
    assert "training.lr = 0.02 lost (diverged)" in log(job)
    anew = read_stage(tmp_path, tuned[0].run_id, "train")
    assert anew and anew["config"]["training"]["lr"] == 1e-9 and anew["tuned"]["tried"][1]["score"] is None


def test_a_suite_that_tunes_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    every = runs(tmp_path, TEXT)
    options = ["--suite", str(tmp_path / "tiny.toml"), "--results", str(tmp_path / "r"), "--data-dir", str(tmp_path)]
    call = partial(_said, capsys, [*options, "--device", "cpu"])
    lines = call("--dry-run").splitlines()
    assert [sum(f"fm_ot {kind}" in line for line in lines) for kind in ("trial lr=", "tuned lr=", " ")] == [2, 1, 1]
    assert lines[-1] == "5 of 5 runs would start"
    assert json.loads(call("--dry-run", "--json", "--seeds", "1"))[0]["config"]["trial"] == {"training.lr": 1e-9}
    assert [line.split()[0] for line in call("--status").splitlines()[:-1]] == ["missing"] * 5
    for run in every:
        fail(tmp_path / "r" / "tiny", run, "it was told to fail")
        assert run_all.main([*options, "--status"]) == (0 if run.trial else 1)


def _said(capsys: pytest.CaptureFixture[str], options: list[str], *more: str) -> str:
    capsys.readouterr()
    assert run_all.main([*options, *more]) == 0
    return capsys.readouterr().out


def test_seeds_that_share_a_choice_are_trained_together_and_trials_alone(tmp_path: Path) -> None:
    every = runs(tmp_path, TEXT)
    jobs = grouped([Job(run, tmp_path, tmp_path) for run in every], 1)
    groups = [[one.run for one in getattr(job, "jobs", [job])] for job in jobs]
    assert sorted(len(group) for group in groups) == [1, 1, 1, 2]
    assert all(run.tune for group in groups if len(group) == 2 for run in group)


def test_an_estimate_has_a_run_wait_for_all_of_its_trials(tmp_path: Path) -> None:
    every = runs(tmp_path, TEXT)
    seconds = {run.run_id: 5.0 if run.trial and run.training.lr == 2e-2 else 1.0 for run in every}
    # Of two workers one has the long trial, and the tuned runs begin when both trials have ended.
    assert makespan(every, seconds, 2) == 6.0 and makespan(every, seconds, 1) == sum(seconds.values())


def test_many_tasks_of_an_array_are_waited_for_as_one() -> None:
    few, many = {"1_0", "1_7", "2"}, {f"3_{i}" for i in range(MANY + 1)}
    assert _shortest(few) == few and _shortest(few | many) == few | {"3"}
