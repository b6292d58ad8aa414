"""What is asked of sbatch, and when a task that is requeued in vain gives up."""

import math
from pathlib import Path

import pytest
from fake_jobs import FakeJob, make_run

from bench import records
from bench.errors import UsageError
from bench.launch import slurm
from bench.launch.slurm import SlurmOptions, Task, submit


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hours": 0}, "hours: 0 is no time limit"),
        ({"hours": -1.5}, "hours: -1.5 is no time limit"),
        ({"hours": math.nan}, "hours: nan is no time limit"),
        ({"hours": math.inf}, "hours: inf is no time limit"),
        ({"gpus": -1}, "gpus: -1 is too few; give 0 or more"),
        ({"cpus": 0}, "cpus: 0 is too few; give 1 or more"),
        ({"max_parallel": 0}, "max_parallel: 0 is too few; give 1 or more"),
        ({"extra": {"cpus_per_task": "3"}}, "'cpus_per_task' is set by the harness"),
        ({"extra": {"--time": "3"}}, "'--time' is set by the harness"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(UsageError, match=message):
        SlurmOptions(**options)


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
    options = SlurmOptions("gpu", gpus=1, cpus=4, hours=0.3, max_parallel=2, extra=extra)
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
        task = Task(job, seconds, fruitless)
        task()
        return task.checkpoint().function.fruitless

    idle = lambda: None  # noqa: E731
    idle.run, idle.root, idle.ranks = run, tmp_path, 1
    assert cut_off(idle, seconds=3600.0, fruitless=1) == 0  # preempted long before its limit
    assert cut_off(Training(run, tmp_path), seconds=0.0, fruitless=1) == 0
    assert cut_off(idle, seconds=0.0, fruitless=0) == 1
    with pytest.raises(SystemExit, match="no progress in 2 time limits"):
        cut_off(idle, seconds=0.0, fruitless=1)
    assert "give a higher --hours" in str(records.failed(tmp_path, run))
