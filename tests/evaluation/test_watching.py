"""What is told of a run on its way: lines by time, a training under way in reports, TensorBoard's files."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tiny import HEAD, runs

from bench.command import actions as command
from bench.config.suite import Run
from bench.evaluation import clock
from bench.evaluation.clock import Pace
from bench.evaluation.stages import Stages
from bench.launch.job import Job
from bench.records import underway
from bench.records.frame import read_frame
from bench.records.measurement import Measurement
from bench.records.planned import write_plan
from bench.records.records import write_stage

SUITE = (
    HEAD
    + """\
baselines = ["fm_ot"]
training = { steps = 8, batch = 16, curve_points = 3, curve_n = 20 }
evaluation.likelihood = { n = 20, batch = 20 }
evaluation.samples = { n = 40, batch = 40, w2_n = 20, path_n = 20, path_times = 5 }
evaluation.sweep = { n = 20, solvers = ["euler"], nfe = [4], tolerances = [1e-2] }
"""
)


def test_a_pace_is_a_second_then_a_hundredth_then_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(clock.time, "monotonic", lambda: now)
    pace, spoken = Pace(), []
    for tick in range(1, 40_001):
        now = 1000.0 + tick / 2
        if pace.due():
            spoken.append(tick / 2)
    gaps = [later - earlier for earlier, later in pairwise(spoken)]
    assert spoken[:3] == [1.0, 2.0, 3.0]
    assert all(gap == max(1.0, min(60.0, -(-end / 50 // 1) / 2)) for gap, end in zip(gaps, spoken[1:], strict=True))
    assert gaps[-1] == 60.0


@pytest.mark.slow
def test_a_training_under_way_is_in_the_frame_until_it_has_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [run] = runs(tmp_path, SUITE)
    root = tmp_path / "results"
    write_plan(root, "tiny", [run])
    seen: list[Any] = []
    validate = Stages.validate

    def looked_at(stages: Stages, module: Any) -> Any:
        seen.append((underway.where(root, run.run_id), read_frame(root)))
        if len(seen) == 3:
            command.status(root, [run])
            command.report(root, [run])
        return validate(stages, module)

    monkeypatch.setattr(Stages, "validate", looked_at)
    assert Job(run, root, tmp_path / "data")() == "ok"
    assert [where.partition(" by 20")[0] for where, _ in seen] == [f"trained to step {step} of 8" for step in (0, 2, 4)]
    assert [sorted(set(frame.step.dropna())) for _, frame in seen] == [[], [2], [2, 4]]
    started, _, late = (frame[frame.stage == "train"] for _, frame in seen)
    assert list(started.status) == ["running"] and list(started.metric) == [""]
    assert set(late.status) == {"running"} and set(late.error) == {"step 4 of 8"}
    said = capsys.readouterr().out
    assert f"missing  {run.run_id}  trained to step 4 of 8 by 20" in said
    assert (
        "unfinished: the report is of 0 of 1 runs" in said and f"  {run.run_id}  trained to step 4 of 8 by 20" in said
    )
    page = (root / "report.html").read_text(encoding="utf-8")
    assert "1 of 1 run to be completed; 1 of them begun" in page
    assert any((root / "plots").glob("*w2_over_training.png"))

    done = read_frame(root)
    assert underway.where(root, run.run_id) == "" and set(done.status) == {"ok"}
    points = done[done.step.notna()]
    assert sorted(set(points.step)) == [2, 4, 8]
    early = points[points.step <= 4].reset_index()
    assert list(late.value) == list(early.value) and list(late.metric) == list(early.metric)


def test_a_curve_under_other_settings_is_none_of_the_plan(tmp_path: Path) -> None:
    one, other = (runs(tmp_path, SUITE, settings={"training.lr": lr})[0] for lr in (1e-3, 2e-3))
    root = tmp_path / "results"

    def states(run: Run) -> set[str]:
        frame = read_frame(root)
        return set(frame.status[(frame.run_id == run.run_id) & (frame.stage == "train")])

    write_plan(root, "tiny", [one])
    underway.write(root, one, "step 4 of 8", [Measurement("w2", 0.5, place={"step": 4.0})], {"label": "FM w/ OT"})
    assert states(one) == {"running"}
    write_stage(root, one, "train", [Measurement("steps", 8)], {"label": "FM w/ OT"})
    assert states(one) == {"ok"} and not list(root.glob("runs/*/underway.json"))
    write_plan(root, "tiny", [other])
    assert states(other) == {"missing"}


def test_a_curve_under_way_is_of_one_evaluation(tmp_path: Path) -> None:
    [one] = runs(tmp_path, SUITE)
    [other] = runs(tmp_path, SUITE.replace("w2_n = 20", "w2_n = 20, reference = 'test'"))
    root = tmp_path / "results"
    assert one.run_id == other.run_id
    underway.write(root, one, "step 4 of 8", [Measurement("w2", 0.5, place={"step": 4.0})], {"label": "FM w/ OT"})
    for run, points in ((one, [0.5]), (other, [])):
        write_plan(root, "tiny", [run])
        assert [*read_frame(root).value.dropna()] == points


@pytest.mark.slow
def test_tensorboard_has_losses_curves_numbers_and_sheets(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    [run] = runs(tmp_path, SUITE)
    job = Job(run, tmp_path / "results", tmp_path / "data", tensorboard=True)
    assert job() == "ok"
    events = EventAccumulator(str(job.root / "tensorboard" / run.run_id))
    events.Reload()
    tags = events.Tags()
    named = {"validation/w2/dormand_prince", "samples/w2/dormand_prince"}
    assert {"training/loss", "training/lr", *named} <= set(tags["scalars"])
    assert tags["images"] == ["validation", "samples"]
    assert [event.step for event in events.Images("validation")] == [2, 4, 8]
    curve = read_frame(job.root)
    curve = curve[(curve.metric == "w2") & curve.step.notna()]
    found = {event.step: event.value for event in events.Scalars("validation/w2/dormand_prince")}
    assert found == pytest.approx(dict(zip(curve.step.astype(int), curve.value, strict=True)), rel=1e-6)
    assert [event.step for event in events.Scalars("sweep/w2/euler")] == [4]
    again = runs(tmp_path, SUITE.replace("likelihood = { n = 20", "likelihood = { n = 10"))[0]
    assert again.run_id == run.run_id and replace(job, run=again)() == "ok"
    events.Reload()
    assert [event.step for event in events.Scalars("sweep/w2/euler")] == [4]
