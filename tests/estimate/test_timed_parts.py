"""The stopwatch on a clock of its own, packing, guesses and the sums of cells."""

from pathlib import Path

import pytest
from tiny import runs

from bench.config.settings import Training
from bench.config.suite import Run
from bench.estimate import stopwatch
from bench.estimate.bill import Bill, bill, total
from bench.estimate.cells import Cell
from bench.estimate.guess import USUAL, guess
from bench.estimate.packing import makespan
from bench.estimate.timing import order, part_of
from bench.records.measurement import Measurement
from bench.records.records import write_stage


class Clock:
    """Stands still but for work that takes so many seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time, self.calls = 0.0, 0
        monkeypatch.setattr(stopwatch, "now", lambda device: self.time)

    def work(self, seconds: float) -> None:
        self.time += seconds
        self.calls += 1


def test_seconds_are_the_median_of_warm_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, durations = Clock(monkeypatch), iter([0.1, 0.05, 0.07, 0.06, 1.0])
    assert stopwatch.seconds(lambda: clock.work(next(durations)), "cpu") == pytest.approx(0.06)
    assert clock.calls == 4


def test_a_long_call_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    assert stopwatch.seconds(lambda: clock.work(3.0), "cpu") == 3.0 and clock.calls == 1
    assert stopwatch.line(lambda k: clock.work(2.0 * k), "cpu") == (0.0, 2.0) and clock.calls == 2


def test_a_line_is_found_from_two_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    start, each = stopwatch.line(lambda k: clock.work(0.01 + 0.002 * k), "cpu")
    assert (start, each) == (pytest.approx(0.01), pytest.approx(0.002))


def test_what_grows_is_timed_or_follows_its_power_law(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    assert stopwatch.grown(lambda n: clock.work(1e-6 * n), 1000, "cpu") == pytest.approx(1e-3)
    before = clock.time
    assert stopwatch.grown(lambda n: clock.work(1e-8 * n**2.5), 8000, "cpu") == pytest.approx(1e-8 * 8000**2.5)
    assert clock.time - before < 1e-8 * 8000**2.5 / 4  # which was not waited for


def test_longest_first_and_a_student_after_its_teacher(tmp_path: Path) -> None:
    planned = runs(tmp_path, baselines=["fm_ot"], seeds=[0, 1, 2, 3, 4])
    seconds = dict(zip((run.run_id for run in planned), (3.0, 3.0, 2.0, 2.0, 2.0), strict=True))
    assert makespan(planned, seconds, 1) == 12.0
    assert makespan(planned, seconds, 2) == 7.0  # 3, 2, 2 beside 3, 2
    assert makespan(planned, seconds, 100) == 3.0
    assert makespan([], {}, 2) == 0.0
    teacher, *others = planned

    class Student(Run):
        @property
        def needs(self) -> tuple[str, ...]:
            return (teacher.run_id,)

    student = Student(**others[0].model_dump())
    assert makespan([student, teacher], seconds, 2) == 6.0
    assert makespan([student], seconds, 2) == 3.0  # its teacher is trained


def test_a_guess_is_what_finished_runs_of_the_cell_took(tmp_path: Path) -> None:
    first, second = runs(tmp_path, baselines=["fm_ot"], seeds=[0, 1])
    assert guess(tmp_path, [first], is_image=False).samples == USUAL["points"]
    usual = guess(tmp_path, [], is_image=True)
    assert (usual.likelihood, usual.runs) == (USUAL["images"], 0)
    assert usual.of("samples", 1e-5) == USUAL["images"]
    assert usual.of("samples", 1e-5 * 32) == pytest.approx(USUAL["images"] / 2)
    for run, nfe in ((first, 40.0), (second, 60.0)):
        rows = [Measurement("nfe_sampling", nfe, settings={"solver": "dopri5", "rtol": 1e-5})]
        rows += [Measurement("nfe_sampling", 1000.0, settings={"sampler": "own"})]
        write_stage(tmp_path, run, "samples", rows, {"label": "FM"})
    found = guess(tmp_path, [first, second], is_image=False)
    assert (found.samples, found.likelihood, found.runs) == (50.0, USUAL["points"], 2)


def test_runs_are_billed_for_the_stages_that_they_miss(tmp_path: Path) -> None:
    first, second = runs(tmp_path, baselines=["fm_ot"], seeds=[0, 1])
    cell = Cell([first, second], seconds={"train": 8.0, "likelihood": 4.0, "samples": 2.0})
    found = bill(cell, {first.run_id: ["train", "likelihood", "samples"], second.run_id: ["likelihood"]})
    assert found == Bill({"train": 8.0, "likelihood": 8.0, "samples": 2.0}, {first.run_id: 14.0, second.run_id: 4.0})
    assert found.seconds == 18.0
    shared = bill(cell, {first.run_id: ["train"], second.run_id: ["train"]}, ranks=4)
    assert shared.stages["train"] == 4.0
    whole = total([found, shared])
    assert whole.stages == {"train": 12.0, "likelihood": 8.0, "samples": 2.0}


def test_a_long_step_is_timed_on_a_part_of_its_batch() -> None:
    training = Training(steps=9, batch=256, micro_batch=64, lr=1e-2)
    found = [(part.batch, part.micro_batch) for part in (part_of(training, share) for share in (64, 4, 2, 1))]
    assert found == [(4, None), (64, 64), (128, 64), (256, 64)]
    assert part_of(Training(steps=9, batch=32), 64).batch == 1
    # 4 samples took 1 s and 16 of them 2 s, so that all 256 are to take 2 s x 16^(1/2).
    assert order([(1, 0.9), (4, 1.0), (16, 2.0)]) == pytest.approx(0.5)
    assert (order([(4, 1.0)]), order([(4, 1.0), (16, 9.0)]), order([(4, 1.0), (16, 0.9)])) == (1.0, 1.0, 0.0)
