"""A student waits for its teacher: in the plan, among the workers of a machine, and on Slurm."""

from pathlib import Path

import pytest
from fake_jobs import FakeJob, make_run
from tiny import SUITE, runs

from bench.config.plan import plan
from bench.config.suite import Run, load_suite
from bench.errors import UsageError
from bench.launch import needs
from bench.launch.local import launch_local

TEACHER = make_run("teacher")
STUDENT = make_run("student", teacher=TEACHER.run_id)
GRANDCHILD = make_run("grandchild", teacher=STUDENT.run_id)


def test_a_run_needs_a_run_and_no_file() -> None:
    assert STUDENT.needs == (TEACHER.run_id,) and TEACHER.needs == ()
    assert make_run("student", teacher="/elsewhere/checkpoint.pt").needs == ()


def planned(tmp_path: Path, teacher: str) -> list[Run]:
    path = tmp_path / "taught.toml"
    path.write_text(SUITE.replace("seeds = [0]", "seeds = [0, 1]"), encoding="utf-8")
    name, suite = load_suite(str(path))
    return plan(name, suite, settings={"ddpm.teacher": teacher})


def test_the_name_of_a_baseline_becomes_its_run_of_the_same_seed(tmp_path: Path) -> None:
    by_id = {run.run_id: run for run in planned(tmp_path, "fm_ot")}
    students = [run for run in by_id.values() if run.baseline.name == "ddpm"]
    assert len(students) == 2
    for student in students:
        (teacher,) = (by_id[need] for need in student.needs)
        assert (teacher.baseline.name, teacher.seed, teacher.dataset) == ("fm_ot", student.seed, student.dataset)
    assert len({student.variant for student in students}) == 1
    assert students[0].variant != runs(tmp_path)[1].variant


def test_another_teacher_is_another_method(tmp_path: Path) -> None:
    teachers = [run.run_id for run in planned(tmp_path, "fm_ot") if run.baseline.name == "fm_ot"]
    by_id, by_name = planned(tmp_path, teachers[0]), planned(tmp_path, "fm_ot")
    assert by_id[-2].run_id == by_name[-2].run_id  # of the same seed
    assert by_id[-1].run_id != by_name[-1].run_id  # taught by another seed's


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ("ddpm", "teacher = 'ddpm': it would be its own teacher"),
        ("ddpn", r"teacher = 'ddpn': expected a baseline of this suite \(fm_ot, ddpm\), the id of a run, or the path"),
    ],
)
def test_a_teacher_that_cannot_be(tmp_path: Path, teacher: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        planned(tmp_path, teacher)


def test_waves_put_the_teacher_first() -> None:
    runs = [GRANDCHILD, STUDENT, TEACHER, make_run("alone")]
    assert needs.waves(runs) == [[TEACHER, runs[3]], [STUDENT], [GRANDCHILD]]
    assert needs.waves([GRANDCHILD]) == [[GRANDCHILD]]


def test_whoever_has_a_new_teacher_is_run_again() -> None:
    assert needs.with_students([TEACHER], [GRANDCHILD, STUDENT, make_run("alone")]) == [GRANDCHILD, STUDENT, TEACHER]


def test_a_lost_teacher_costs_its_students() -> None:
    left, lost = needs.without_orphans([STUDENT, GRANDCHILD, make_run("alone")], {TEACHER.run_id: "it diverged"})
    assert [run.baseline.name for run in left] == ["alone"]
    assert lost[STUDENT.run_id] == f"its teacher {TEACHER.run_id} has failed: it diverged"
    assert "has failed: its teacher" in lost[GRANDCHILD.run_id]


def test_a_teacher_that_nobody_trains_is_missed_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"its teacher {TEACHER.run_id} is not trained in .* name its baseline"):
        needs.check(tmp_path, [STUDENT])
    needs.check(tmp_path, [STUDENT, TEACHER])


@pytest.mark.slow
def test_workers_take_the_teacher_first_and_the_student_when_it_has_ended(tmp_path: Path) -> None:
    jobs = [FakeJob(run, tmp_path, steps=3, pause=0.2) for run in (GRANDCHILD, STUDENT, TEACHER)]
    assert {outcome.status for outcome in launch_local(jobs, workers=2, device="cpu")} == {"ok"}
    ends = [(job.folder / "train.json").stat().st_mtime for job in jobs]
    begins = [(job.folder / "starts").stat().st_mtime for job in jobs]
    assert ends[2] <= begins[1] and ends[1] <= begins[0]
