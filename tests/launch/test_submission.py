"""What is asked of sbatch, and when a task that is requeued in vain gives up."""

import math
import shlex
from pathlib import Path

import pytest
from fake_jobs import FakeJob, make_run
from tiny import runs, write_suite

import run_all
from bench.command import actions
from bench.command.options import slurm_options
from bench.errors import HalfSubmitted, UsageError
from bench.launch import slurm
from bench.launch.queue import Submission, collect
from bench.launch.slurm import ArrayTask, SlurmOptions, submit
from bench.records import records
from bench.records.measurement import Measurement
from bench.records.seal import write_json


def test_what_no_task_can_be_is_one_line():
    messages = {
        ("--hours", "0"): "hours = 0.0: Input should be greater than 0",
        ("--hours", "nan"): "hours = nan: Input should be a finite number",
        ("--hours", "inf"): "hours = inf: Input should be a finite number",
        ("--gpus", "-1"): "gpus = -1: Input should be greater than or equal to 0",
        ("--cpus", "0"): "cpus = 0: Input should be greater than 0",
        ("--max-parallel", "0"): "max_parallel = 0: Input should be greater than 0",
        ("--nodes", "0"): "nodes = 0: Input should be greater than 0",
        ("--sbatch", "cpus_per_task=3"): "extra: 'cpus_per_task' is set by the harness",
        ("--sbatch", "--time=3"): "extra: '--time' is set by the harness",
    }
    for option, message in messages.items():
        options = run_all.parser().parse_args(["=".join(option)])
        with pytest.raises(UsageError) as refused:
            slurm_options(options)
        assert str(refused.value).startswith(f"--cluster slurm: {message}")


def test_without_slurm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="sbatch is not on PATH"):
        submit([FakeJob(make_run("b"), tmp_path)], SlurmOptions(), tmp_path)


@pytest.fixture
def sbatch(tmp_path, monkeypatch):
    """A cluster that takes arrays of 3 and keeps what it is given."""
    count = f"$(ls {tmp_path} | grep -c script)"
    programs = {
        "sbatch": f'cp "$1" {tmp_path}/script{count}; echo Submitted batch job {count}',
        "srun": "exit 1",
        "squeue": "exit 0",
        "sacct": "exit 1",
        "scontrol": "echo 'MaxArraySize            = 3'",
    }
    folder = tmp_path / "bin"
    folder.mkdir()
    for program, script in programs.items():
        (folder / program).write_text(f"#!/bin/sh\n{script}\n")
        (folder / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return lambda i: (tmp_path / f"script{i}").read_text()


def test_what_sbatch_is_given(tmp_path, sbatch):
    root = tmp_path / "my suite"
    jobs = [FakeJob(make_run(f"b{i}"), root) for i in range(7)]
    extra = {"account": "lab", "exclusive": ""}
    options = SlurmOptions(partition="gpu", gpus=1, cpus=4, hours=0.3, max_parallel=2, extra=extra)
    assert submit(jobs, options, root) == ["1_0", "1_1", "1_2", "2_0", "2_1", "2_2", "3"]
    first, second, third = (sbatch(i) for i in range(3))
    wanted = ["array=0-2%2", "partition=gpu", "gpus-per-node=1", "cpus-per-task=4", "time=18", "account=lab"]
    for line in (*wanted, "signal=USR2@120", "exclusive", "requeue"):
        assert f"#SBATCH --{line}\n" in first
    assert "wckey" not in first and "dependency" not in first
    assert "--cpus-per-task=4" in next(line for line in first.splitlines() if line.startswith("srun"))
    assert f"export PYTHONPATH={Path(slurm.__file__).parents[2]}:" in first
    assert "--dependency=afterany:1\n" in second and "--dependency=afterany:2\n" in third
    submit(jobs, SlurmOptions(hours=1 / 60), root)
    assert "array=0-2%3" in sbatch(3) and "signal=USR2@15" in sbatch(3) and "dependency" not in sbatch(4)


def test_a_student_waits_for_the_task_of_its_teacher(tmp_path, sbatch):
    teachers = [make_run(f"teacher{i}") for i in range(2)]
    students = [make_run(f"student{i}", teacher=teacher.run_id) for i, teacher in enumerate(teachers)]
    jobs = [FakeJob(run, tmp_path / "suite") for run in (*students, *teachers, make_run("alone"))]
    assert submit(jobs, SlurmOptions(), tmp_path / "suite") == ["1_0", "1_1", "1_2", "2_0", "2_1"]
    assert "dependency" not in sbatch(0)
    assert "#SBATCH --dependency=afterany:1_0:1_1\n" in sbatch(1)


def outdated(run, root):
    """A finished run whose record is of other settings than today's."""
    job = FakeJob(run, root)
    assert job() == "ok"
    write_json(job.folder / "train.json", {**job.record(), "fingerprint": "of before"})
    return job


def test_what_is_stale_is_submitted_and_so_is_the_student_of_a_teacher_trained_anew(tmp_path, sbatch):
    root = tmp_path / "suite"
    teacher = outdated(make_run("teacher"), root)
    student = FakeJob(make_run("student", teacher=teacher.run.run_id), root)
    assert student() == "ok"
    assert [state.status for state in collect(root, [teacher.run, student.run]).values()] == ["stale", "stale"]
    assert submit([teacher, student], SlurmOptions(), root) == ["1", "2"]
    assert "#SBATCH --dependency=afterany:1\n" in sbatch(1)


@pytest.mark.slow
def test_a_refused_retry_takes_no_good_record_for_lost(tmp_path, sbatch, capsys):
    """A record with a lost value that is asked for again counts as not done, and its job has ended long ago."""
    [run] = runs(tmp_path, baselines=["fm_ot"])
    root = tmp_path / "r" / "tiny"
    for stage in run.stages:
        lost = [Measurement("w2", math.nan, reason="out of memory")] if stage == "samples" else []
        records.write_stage(root, run, stage, lost, {})
    Submission("7", "name", "log").write(root, run)
    accepts = (tmp_path / "bin" / "sbatch").read_text(encoding="utf-8")
    (tmp_path / "bin" / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: limit' >&2; exit 1", encoding="utf-8")
    options = ["--suite", str(tmp_path / "tiny.toml"), "--baselines", "fm_ot", "--data-dir", str(tmp_path / "d")]
    options += ["--results", str(tmp_path / "r"), "--cluster", "slurm"]
    assert run_all.main([*options, "--retry"]) == 2
    assert run_all.main([*options, "--status"]) == 0
    record = records.read_stage(root, run.run_id, "samples")
    assert record and record["status"] == "ok" and record["measurements"]
    Submission("8", "mine", "log").write(root, run)  # of which nobody asks for more than it began with
    (tmp_path / "bin" / "squeue").write_text("#!/bin/sh\necho '8|RUNNING|None|mine'", encoding="utf-8")
    write_json(records.record_path(root, run.run_id, "samples"), {**record, "again": False})
    assert run_all.main([*options, "--retry"]) == 0
    record = records.read_stage(root, run.run_id, "samples")
    assert record and not record["again"]
    (tmp_path / "bin" / "squeue").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "bin" / "sbatch").write_text(accepts, encoding="utf-8")
    capsys.readouterr()
    assert run_all.main([*options, "--retry"]) == 0
    assert "submitted 1 tasks as Slurm job 1\n" in capsys.readouterr().out


@pytest.mark.slow
def test_waiting_for_a_stale_run_whose_task_is_lost_is_no_success(tmp_path, sbatch, capsys, monkeypatch):
    monkeypatch.setattr(actions, "report", lambda root, runs: 0)
    [run] = runs(tmp_path, baselines=["fm_ot"])
    root = tmp_path / "r" / "tiny"
    for stage in run.stages:
        records.write_stage(root, run, stage, [], {"code": "of before"})
    options = ["--suite", str(tmp_path / "tiny.toml"), "--baselines", "fm_ot", "--data-dir", str(tmp_path / "d")]
    options += ["--results", str(tmp_path / "r"), "--cluster", "slurm", "--wait"]
    assert run_all.main(options) == 1
    out = capsys.readouterr().out
    assert "submitted 1 tasks" in out and "Slurm job 1 left the queue without a record" in out
    assert f"failed: {run.run_id}: Slurm job 1 left the queue without a record" in out


def test_refused_in_the_words_of_sbatch(tmp_path, sbatch):
    job = FakeJob(make_run("b"), tmp_path / "suite")
    (tmp_path / "bin" / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: no\nsbatch: error: never' >&2; exit 1")
    with pytest.raises(UsageError, match=r"^sbatch: error: no sbatch: error: never$"):
        submit([job], SlurmOptions(), job.root)


def test_a_requeued_task_gives_up_only_after_whole_limits_without_progress(tmp_path):
    class Training(FakeJob):
        def __call__(self, progress=None):
            (self.folder / "checkpoint.pt").write_text("some step")
            return "ok"

    run = make_run("b")
    records.run_folder(tmp_path, run.run_id).mkdir(parents=True)

    def cut_off(job, seconds, fruitless):
        task = ArrayTask(job, seconds, fruitless)
        task()
        return task.checkpoint().function.fruitless

    idle = lambda: None  # noqa: E731
    idle.run, idle.root, idle.folder, idle.ranks = run, tmp_path, records.run_folder(tmp_path, run.run_id), 1
    assert cut_off(idle, seconds=3600.0, fruitless=1) == 0  # preempted long before its limit
    assert cut_off(Training(run, tmp_path), seconds=0.0, fruitless=1) == 0
    assert cut_off(idle, seconds=0.0, fruitless=0) == 1
    with pytest.raises(SystemExit, match="no progress in 2 time limits"):
        cut_off(idle, seconds=0.0, fruitless=1)
    assert "give a higher --hours" in str(records.failed(tmp_path, run))


def test_a_submission_refused_half_way_loses_sight_of_nothing(tmp_path, sbatch):
    root = tmp_path / "suite"
    jobs = [FakeJob(make_run(f"b{i}"), root) for i in range(7)]
    records.fail(root, jobs[5].run, "an earlier failure")
    program = tmp_path / "bin" / "sbatch"
    accepts = program.read_text(encoding="utf-8").partition("\n")[2]
    refuses = f"[ -e {tmp_path}/script0 ] && echo 'sbatch: error: limit' >&2 && exit 1"
    program.write_text(f"#!/bin/sh\n{refuses}\n{accepts}", encoding="utf-8")
    with pytest.raises(HalfSubmitted, match="next 4 tasks were not submitted: sbatch: error: limit") as refused:
        submit(jobs, SlurmOptions(), root)
    assert refused.value.ids == ["1_0", "1_1", "1_2"]
    followed = [Submission.read(root, job.run) for job in jobs]
    assert [s and s.job for s in followed] == ["1_0", "1_1", "1_2", None, None, None, None]
    assert records.failed(root, jobs[5].run) == "an earlier failure"


def test_variables_of_an_allocation_do_not_reach_sbatch(tmp_path, sbatch, monkeypatch):
    program = tmp_path / "bin" / "sbatch"
    program.write_text(program.read_text(encoding="utf-8") + f"\nenv > {tmp_path}/env\n", encoding="utf-8")
    for variable in ("SLURM_MEM_PER_NODE", "SLURM_JOB_ID", "SBATCH_TIMELIMIT", "WORLD_SIZE", "PYTHONWARNINGS"):
        monkeypatch.setenv(variable, "7")
    monkeypatch.setenv("SBATCH_ACCOUNT", "theirs")
    monkeypatch.setenv("SBATCH_QOS", "theirs")
    monkeypatch.setenv("SBATCH_PARTITION", "theirs")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    job = FakeJob(make_run("b"), tmp_path / "suite")
    submit([job], SlurmOptions(extra={"account": "mine"}), job.root)
    seen = (tmp_path / "env").read_text(encoding="utf-8")
    assert "SLURM_CONF=/etc/slurm.conf" in seen
    assert not [line for line in seen.splitlines() if line.endswith("=7") or line.startswith("SBATCH_")]
    for line in ("account=mine", "qos=theirs", "partition=theirs"):
        assert f"#SBATCH --{line}\n" in sbatch(0)


def test_a_task_that_met_a_full_disk_is_submitted_again(tmp_path, sbatch):
    root = tmp_path / "suite"
    job = FakeJob(make_run("b"), root)
    Submission("5", "name", "log").write(root, job.run)
    (root / "log").write_text(
        "bench.records.disk.NoSpace: no space left on tmpfs (/x) for /x/checkpoint.pt\n", encoding="utf-8"
    )
    assert collect(root, [job.run])[job.run.run_id].reason.endswith("for /x/checkpoint.pt")
    assert records.failed(root, job.run) is None
    assert submit([job], SlurmOptions(), root) == ["1"]


def test_the_command_says_what_was_submitted_before_it_was_refused(tmp_path, sbatch, capsys):
    program = tmp_path / "bin" / "sbatch"
    accepts = program.read_text(encoding="utf-8").partition("\n")[2]
    refuses = f"[ -e {tmp_path}/script0 ] && echo 'sbatch: error: limit' >&2 && exit 1"
    program.write_text(f"#!/bin/sh\n{refuses}\n{accepts}", encoding="utf-8")
    folder = tmp_path / "my suites"
    folder.mkdir()
    arguments = ["--suite", str(write_suite(folder)), "--seeds", "0,1", "--set", "training.steps=7"]
    arguments += ["--results", str(tmp_path / "r"), "--data-dir", str(tmp_path / "d")]
    assert run_all.main([*arguments, "--cluster", "slurm", "--hours", "1"]) == 1
    out, err = capsys.readouterr()
    assert "submitted 3 tasks as Slurm job 1\n" in out
    assert "the next 1 tasks were not submitted: sbatch: error: limit" in err.splitlines()[-1]
    follow, collected = (next(line for line in out.splitlines() if line.startswith(w)) for w in ("follow:", "collect:"))
    for line, action in ((follow, "--status"), (collected, "--report")):
        words = shlex.split(line.partition(":")[2])
        meant = run_all.parser().parse_args(words[words.index("--suite") :])
        assert vars(meant) == vars(run_all.parser().parse_args([*arguments, action]))
