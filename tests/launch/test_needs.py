"""A student waits for its teacher: in the plan, among the workers of a machine, and on Slurm."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from fake_jobs import FakeJob, make_run
from tiny import SUITE, runs, write_suite

import run_all
from baselines.fm_ot import FlowMatchingOT
from bench.command.actions import todo_of
from bench.config.plan import plan
from bench.config.suite import Run, load_suite
from bench.errors import UsageError
from bench.launch import needs
from bench.launch.local import launch_local
from bench.methods.baseline import register_baseline
from bench.records import records
from bench.records.aside import set_aside
from bench.records.frame import read_frame
from bench.records.planned import digests, write_plan
from bench.records.seal import write_json
from bench.training.build import trained_run

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


def test_a_teachers_file_counts_by_its_content_wherever_it_lies(tmp_path: Path) -> None:
    ids = []
    for folder, content in {"here": b"weights", "there": b"weights", "other": b"other"}.items():
        path = tmp_path / folder / "teacher.pt"
        path.parent.mkdir()
        path.write_bytes(content)
        student = planned(tmp_path, str(path))[-1]
        assert student.baseline.options["teacher"] == str(path) and student.needs == ()
        ids.append(student.run_id)
    assert ids[0] == ids[1] != ids[2] and ids[0] != runs(tmp_path)[1].run_id


def test_files_that_are_gone_count_as_the_plan_has_them(tmp_path: Path) -> None:
    """Those of a teacher and of an extractor, of the runs that are current where several had the path."""
    (tmp_path / "t.pt").write_bytes(b"older")
    (tmp_path / "e.pth").write_bytes(b"extractor")
    extractor = [{"name": "dinov2", "weights": str(tmp_path / "e.pth")}]
    settings = {"ddpm.teacher": str(tmp_path / "t.pt"), "evaluation.samples.extractors": extractor}
    older = runs(tmp_path, baselines=["ddpm"], settings=settings)
    write_plan(tmp_path, "", older)
    (tmp_path / "t.pt").write_bytes(b"weights")
    before = runs(tmp_path, baselines=["ddpm"], settings=settings)
    write_plan(tmp_path, "", before)
    for name in ("t.pt", "e.pth"):
        (tmp_path / name).unlink()
    after = runs(tmp_path, baselines=["ddpm"], settings=settings, digests=digests(tmp_path))
    assert after == before != older
    assert after[0].fingerprint("samples") == before[0].fingerprint("samples")
    with pytest.raises(
        UsageError, match=rf"^{after[0].run_id}: teacher = '.*t\.pt': there is no such file or folder any"
    ):
        needs.check(tmp_path, after)


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ("ddpm", "teacher = 'ddpm': it would be its own teacher"),
        ("./no.pt", r"teacher = './no.pt': there is no file /.*/no.pt$"),
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
    runs = [GRANDCHILD, STUDENT, make_run("alone")]
    assert needs.with_students([TEACHER.run_id], runs) == {run.run_id for run in (GRANDCHILD, STUDENT, TEACHER)}


def test_a_teacher_that_cannot_be_trained_costs_its_students() -> None:
    left, orphans = needs.without_orphans([STUDENT, GRANDCHILD, make_run("alone")], {TEACHER.run_id: "it diverged"})
    assert [run.baseline.name for run in left] == ["alone"] and set(orphans) == {STUDENT.run_id, GRANDCHILD.run_id}
    assert orphans[STUDENT.run_id] == f"its teacher {TEACHER.run_id} has failed: it diverged"
    assert "has failed: its teacher" in orphans[GRANDCHILD.run_id]


def test_a_teacher_that_nobody_trains_is_missed_at_once(tmp_path: Path) -> None:
    message = f"^{STUDENT.run_id}: teacher = {TEACHER.run_id}: its training has not ended in .*; run its baseline"
    with pytest.raises(UsageError, match=message):
        needs.check(tmp_path, [STUDENT])
    needs.check(tmp_path, [STUDENT, TEACHER])


def finished(root: Path, *runs: Run) -> None:
    assert [FakeJob(run, root)() for run in runs] == ["ok"] * len(runs)


def outdate(root: Path, run: Run) -> None:
    """Have the run's training be of other settings than today's."""
    record = records.read_stage(root, run.run_id, "train")
    assert record
    write_json(records.record_path(root, run.run_id, "train"), {**record, "fingerprint": "of before"})


def test_whom_a_stale_teacher_taught_is_stale(tmp_path: Path) -> None:
    finished(tmp_path, TEACHER, STUDENT, GRANDCHILD)
    outdate(tmp_path, TEACHER)
    student, grandchild = (records.stands(tmp_path, run)["train"] for run in (STUDENT, GRANDCHILD))
    assert (student.state, grandchild.state) == ("stale", "stale")
    assert student.reason == f"its teacher {TEACHER.run_id} is stale: measured under other settings"
    assert grandchild.reason == f"its teacher {STUDENT.run_id} is stale: {student.reason}"
    set_aside(tmp_path, TEACHER)  # as if its training had begun anew
    assert records.stands(tmp_path, STUDENT)["train"].reason == f"its teacher {TEACHER.run_id} is not trained"


@pytest.mark.usefixtures("own_baselines")
def test_a_report_leaves_out_whom_a_stale_teacher_taught(tmp_path: Path) -> None:
    for name in ("teacher", "student"):
        register_baseline(name, label=name)(type(name, (FlowMatchingOT,), {}))
    finished(tmp_path, TEACHER, STUDENT)
    outdate(tmp_path, TEACHER)
    write_plan(tmp_path, "", [TEACHER, STUDENT])
    table = read_frame(tmp_path).set_index("baseline")
    assert set(table.status) == {"missing"}
    assert table.stale["student"] == f"its teacher {TEACHER.run_id} is stale: measured under other settings"


def test_a_stale_teacher_does_not_teach(tmp_path: Path) -> None:
    finished(tmp_path, TEACHER)
    needs.check(tmp_path, [STUDENT])
    assert trained_run(tmp_path, TEACHER.run_id) == TEACHER
    outdate(tmp_path, TEACHER)
    message = f"{TEACHER.run_id}: its training is stale .measured under other settings. in .*; run its baseline first"
    for refuses in (lambda: needs.check(tmp_path, [STUDENT]), lambda: trained_run(tmp_path, TEACHER.run_id)):
        with pytest.raises(UsageError, match=message):
            refuses()


def todo(root: Path, *runs: Run, retry: bool = False) -> tuple[list[Run], dict[str, str]]:
    return todo_of({run.run_id: records.stands(root, run) for run in runs}, runs, retry)


def evaluated(run: Run) -> Run:
    return Run.model_validate({**run.model_dump(), "evaluation": {"likelihood": {}}})


def test_a_teacher_that_fails_in_an_evaluation_keeps_its_students(tmp_path: Path) -> None:
    teacher = evaluated(TEACHER)
    records.write_stage(tmp_path, teacher, "train", [], {})
    assert todo(tmp_path, teacher, STUDENT) == ([teacher, STUDENT], {})
    records.fail(tmp_path, teacher, "out of memory")
    assert todo(tmp_path, teacher, STUDENT) == ([STUDENT], {teacher.run_id: "out of memory"})
    finished(tmp_path, STUDENT)
    assert todo(tmp_path, teacher, STUDENT, retry=True) == ([teacher], {})  # which is not trained for that


def test_a_failed_student_is_run_again_with_its_teacher(tmp_path: Path) -> None:
    records.fail(tmp_path, STUDENT, "its teacher was not there")
    assert todo(tmp_path, TEACHER, STUDENT) == ([TEACHER, STUDENT], {})
    records.fail(tmp_path, TEACHER, "it diverged")
    assert todo(tmp_path, TEACHER, STUDENT)[0] == []
    assert todo(tmp_path, TEACHER, STUDENT, retry=True) == ([TEACHER, STUDENT], {})


@pytest.mark.usefixtures("own_baselines")
def test_a_dry_run_refuses_a_student_without_a_teacher(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    @dataclass(frozen=True)
    class Taught(FlowMatchingOT):
        teacher: str = ""

    register_baseline("taught", label="Taught")(Taught)
    suite = write_suite(tmp_path, SUITE.replace('["fm_ot", "ddpm"]', '["taught"]').replace("overrides.ddpm", "#"))
    options = ["--suite", str(suite), "--results", str(tmp_path / "r"), "--set", f"taught.teacher={TEACHER.run_id}"]
    for action in ([], ["--dry-run"]):
        assert run_all.main([*options, *action]) == 2
        out, err = capsys.readouterr()
        assert f"teacher = {TEACHER.run_id}: its training has not ended in" in err and not out


@pytest.mark.slow
def test_workers_take_the_teacher_first_and_the_student_when_it_has_ended(tmp_path: Path) -> None:
    jobs = [FakeJob(run, tmp_path, steps=3, pause=0.2) for run in (GRANDCHILD, STUDENT, TEACHER)]
    assert {outcome.status for outcome in launch_local(jobs, workers=2, device="cpu")} == {"ok"}
    ends = [(job.folder / "train.json").stat().st_mtime for job in jobs]
    begins = [(job.folder / "starts").stat().st_mtime for job in jobs]
    assert ends[2] <= begins[1] and ends[1] <= begins[0]
