"""Where a tuned run stands, by the records of its trials, and how plan, frame and archive know them."""

from pathlib import Path
from typing import Any

import pytest
from tiny import SUITE, runs

from bench.command.actions import todo_of
from bench.config.suite import Run
from bench.launch import needs
from bench.records import records
from bench.records.archive import gathered, merged, opened, write_archive
from bench.records.frame import at_own_settings, read_choices, read_configs, read_frame, reported
from bench.records.index import stands_of
from bench.records.measurement import Measurement
from bench.records.planned import write_plan
from bench.records.seal import write_json

TEXT = SUITE.replace("seeds = [0]", "seeds = [0, 1]") + "tune = { training.lr = [2e-3, 4e-3], untuned = [0] }\n"
END = {"step": 6.0, "train_seconds": 1.0, "nfe_training": 6.0}


def planned(folder: Path, **narrow: Any) -> tuple[list[Run], list[Run]]:
    """The trials of one method, and its tuned runs."""
    every = runs(folder, TEXT, baselines=["fm_ot"], **narrow)
    return [run for run in every if run.trial], [run for run in every if run.tune]


def tried(root: Path, trial: Run, nll: float) -> None:
    records.write_stage(root, trial, "train", [Measurement("nll_nats", nll, place=END)], {})


def trained(root: Path, run: Run, rate: float) -> None:
    """A tuned run that is trained and measured at a rate."""
    for stage in run.stages:
        facts = {"tuned": {"to": {"training.lr": rate}}}
        records.write_stage(root, run.with_values({"training.lr": rate}), stage, [Measurement("steps", 6.0)], facts)


def stand(root: Path, run: Run) -> tuple[str, str]:
    found = records.stands(root, run)["train"]
    assert stands_of(root, [run])[run.run_id]["train"] == found
    return found.state, found.reason


def test_a_tuned_run_is_done_as_long_as_its_trials_choose_its_values(tmp_path: Path) -> None:
    trials, (run, other) = planned(tmp_path)
    assert stand(tmp_path, run) == ("missing", "")
    trained(tmp_path, run, 4e-3)
    assert stand(tmp_path, run) == ("stale", f"its trial {trials[0].run_id} is not trained")
    for trial, nll in zip(trials, (3.0, 2.0), strict=True):
        tried(tmp_path, trial, nll)
    assert stand(tmp_path, run) == ("done", "") and records.finished(tmp_path, run)
    trained(tmp_path, other, 2e-3)
    assert stand(tmp_path, other) == ("stale", "its trials choose training.lr = 0.004")
    tried(tmp_path, trials[0], 1.0)
    assert stand(tmp_path, run)[0] == "stale" and stand(tmp_path, other) == ("done", "")


def test_a_failed_trial_loses_what_it_tried_and_no_run(tmp_path: Path) -> None:
    trials, (run, _) = planned(tmp_path)
    tried(tmp_path, trials[0], 3.0)
    records.fail(tmp_path, trials[1], "diverged")
    trained(tmp_path, run, 2e-3)
    assert stand(tmp_path, run) == ("done", "")
    left, failures = todo_of(stands_of(tmp_path, [*trials, run]), [*trials, run], retry=False)
    assert left == [] and failures == {trials[1].run_id: "diverged"}
    # A run that is not done yet is not left out for it, unlike the student of a teacher.
    (tmp_path / "runs" / run.run_id / "train.json").unlink()
    left, _ = todo_of(stands_of(tmp_path, [*trials, run]), [*trials, run], retry=False)
    assert left == [run]
    left, _ = todo_of(stands_of(tmp_path, [*trials, run]), [*trials, run], retry=True)
    assert left == [trials[1], run]
    records.record_path(tmp_path, trials[0].run_id, "train").unlink()
    records.fail(tmp_path, trials[0], "out of memory")
    trained(tmp_path, run, 2e-3)
    state, why = stand(tmp_path, run)
    assert state == "stale" and why.endswith("can be chosen: training.lr = 0.002: out of memory")


def test_a_trial_measured_under_another_evaluation_is_tried_again(tmp_path: Path) -> None:
    trials, (run, _) = planned(tmp_path)
    for trial in trials:
        tried(tmp_path, trial, 3.0)
    trained(tmp_path, run, 2e-3)
    others, (same, _) = planned(tmp_path, settings={"evaluation.likelihood.divergence": "hutchinson"})
    assert [trial.run_id for trial in others] == [trial.run_id for trial in trials] and same.run_id == run.run_id
    assert stand(tmp_path, others[0]) == ("stale", "its curve was measured under another evaluation")
    assert stand(tmp_path, same)[1].startswith(f"its trial {trials[0].run_id} is stale: its curve was measured under")
    found = stands_of(tmp_path, [*others, same])
    assert todo_of(found, [*others, same], retry=False)[0] == [*others, same]
    # One that is vouched for is taken as it is.
    assert [records.vouch(tmp_path, trial) for trial in others] == [1, 1]
    assert stand(tmp_path, others[0]) == stand(tmp_path, same) == ("done", "")


def test_trials_come_in_a_wave_before(tmp_path: Path) -> None:
    trials, tuned = planned(tmp_path)
    assert needs.waves([*tuned, *trials]) == [trials, tuned]
    needs.check(tmp_path, tuned)  # a trial that failed and is left alone is none of the runs to do


def everything(root: Path, **narrow: Any) -> list[Run]:
    """All runs of the suite, with records of all of them."""
    every = runs(root, TEXT, baselines=["fm_ot"], **narrow)
    for i, run in enumerate(every):
        if run.tune:
            trained(root, run, 4e-3)
        elif run.trial:
            tried(root, run, 3.0 - i)
        else:
            records.write_stage(root, run, "train", [Measurement("steps", 6.0)], {})
    write_plan(root, "", every)
    return every


def test_the_frame_tells_trials_tuned_and_untuned_runs_apart(tmp_path: Path) -> None:
    every = everything(tmp_path)
    frame = read_frame(tmp_path)
    found = frame.drop_duplicates("run_id").set_index("run_id")
    expected = [
        *[("trial", '{"training.lr": 0.002}'), ("trial", '{"training.lr": 0.004}')],
        *[("tuned", '{"training.lr": 0.004}'), ("untuned", "{}"), ("tuned", '{"training.lr": 0.004}')],
    ]
    assert [(found.tuning[run.run_id], found.tuned_to[run.run_id]) for run in every] == expected
    assert found.current.all()
    assert set(reported(frame).run_id) == {run.run_id for run in every if run.tune}
    tuned = next(run for run in every if run.tune)
    assert read_configs(tmp_path)[tuned.variant]["training"]["lr"] == 4e-3


def test_a_plan_that_tunes_no_more_reports_its_runs_as_any_other(tmp_path: Path) -> None:
    everything(tmp_path)
    write_plan(tmp_path, "", runs(tmp_path, TEXT.partition("tune =")[0], baselines=["fm_ot"]))
    frame = read_frame(tmp_path)
    assert set(reported(frame[frame.current]).tuning) == {""} and set(frame.tuning[~frame.current]) == {
        "trial",
        "tuned",
    }


def test_an_archive_brings_the_trials_and_merges_seeds(tmp_path: Path) -> None:
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        everything(tmp_path / str(seed), seeds=[seed])
    path = tmp_path / "both.tar.xz"
    write_archive([tmp_path / "0", tmp_path / "1"], path)
    with opened(path) as root:
        frame = read_frame(root)
    assert frame.groupby("tuning").run_id.nunique().to_dict() == {"trial": 2, "tuned": 2, "untuned": 1}
    assert frame.current.all() and not (frame.stale != "").any()
    both = merged(gathered(tmp_path / "0"), gathered(tmp_path / "1"))
    assert {entry["tuning"] for entry in both.plan.values()} == {"trial", "tuned", "untuned"}


def test_a_damaged_record_of_a_trial_is_a_loss_of_what_it_tried(tmp_path: Path) -> None:
    trials, (run, _) = planned(tmp_path)
    tried(tmp_path, trials[0], 3.0)
    tried(tmp_path, trials[1], 1.0)
    path = records.record_path(tmp_path, trials[1].run_id, "train")
    path.write_bytes(path.read_bytes()[:-9])
    trained(tmp_path, run, 2e-3)
    assert stand(tmp_path, run) == ("done", "")


@pytest.mark.parametrize("tuning", ["tried", 3])
def test_an_entry_of_another_kind_is_not_sound(tmp_path: Path, tuning: object) -> None:
    (run, *_) = everything(tmp_path)
    record = records.read_stage(tmp_path, run.run_id, "train")
    assert record
    write_json(records.record_path(tmp_path, run.run_id, "train"), {**record, "tuning": tuning})
    found = records.read_stage(tmp_path, run.run_id, "train")
    assert found and found["status"] == "failed" and "tuning = " in found["error"]


def test_a_report_reads_what_was_chosen_from_the_latest_record(tmp_path: Path) -> None:
    trials, tuned = planned(tmp_path)
    write_plan(tmp_path, "it tunes", [*trials, *tuned])
    assert read_choices(tmp_path) == {}
    tried = [{"values": {"training.lr": rate}, "trials": ["t"], "score": 3.0, "reason": ""} for rate in (2e-3, 4e-3)]
    found = {"metric": "nll_nats", "tried": tried, "edge": [], "seconds": 1.0, "evaluations": 12.0, "stacked": False}
    for run, rate in zip(tuned, (2e-3, 4e-3), strict=True):
        facts = {"tuned": {"to": {"training.lr": rate}, **found}}
        records.write_stage(
            tmp_path, run.with_values({"training.lr": rate}), "train", [Measurement("steps", 6.0)], facts
        )
    for trial in trials:
        records.write_stage(tmp_path, trial, "train", [Measurement("nll_nats", 3.0, place=END)], {})
    (chosen,) = read_choices(tmp_path).values()
    assert chosen.to == {"training.lr": 4e-3} and [one.score for one in chosen.tried] == [3.0, 3.0]
    assert [*read_choices(tmp_path)] == [tuned[0].variant]
    assert set(at_own_settings(read_frame(tmp_path)).tuning) <= {"", "untuned"}

    damaged = records.read_stage(tmp_path, tuned[1].run_id, "train") or {}
    write_json(records.record_path(tmp_path, tuned[1].run_id, "train"), {**damaged, "tuned": {"to": {}}})
    assert read_choices(tmp_path)[tuned[0].variant].to == {"training.lr": 2e-3}
    # A record need not say when it was finished.
    found_first = records.read_stage(tmp_path, tuned[0].run_id, "train") or {}
    for timeless in ({**found_first, "finished": None}, {k: v for k, v in found_first.items() if k != "finished"}):
        write_json(records.record_path(tmp_path, tuned[0].run_id, "train"), timeless)
        assert read_choices(tmp_path)[tuned[0].variant].to == {"training.lr": 2e-3}
