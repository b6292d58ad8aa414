"""Real arrays on the cluster that tests/slurm/up starts."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_jobs import FakeJob, make_run

from bench.config.plan import plan
from bench.config.suite import load_suite
from bench.errors import UsageError
from bench.launch import slurm
from bench.launch.job import Job
from bench.launch.queue import collect, status, wait
from bench.launch.slurm import SlurmOptions, submit
from bench.records import records
from bench.records.seal import write_json

pytestmark = pytest.mark.slurm

CONFIGURATION = Path("/tmp/bench-slurm/slurm.conf")
REPOSITORY = Path(__file__).parents[2]
FAKE_JOBS = REPOSITORY / "tests" / "launch"
QUICK = SlurmOptions(hours=1 / 60)


@pytest.fixture(autouse=True, scope="module")
def cluster() -> Iterator[None]:
    """Talk to the test cluster, and skip where there is none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(CONFIGURATION))
        patch.setenv("PYTHONPATH", str(FAKE_JOBS))
        there = CONFIGURATION.exists() and shutil.which("sinfo")
        if not there or subprocess.run(["sinfo"], capture_output=True).returncode:
            pytest.skip("no Slurm cluster here: tests/slurm/up starts one, as root")
        yield
        subprocess.run(["scancel", "--partition=main"], check=True)


@pytest.fixture(autouse=True, scope="module")
def cut_off(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> FakeJob:
    """A run of 75 s with a time limit of one minute, under way while the other tests run."""
    job = FakeJob(make_run("cut"), tmp_path_factory.mktemp("cut"), steps=1500, pause=0.05)
    submit([job], QUICK, job.root)
    return job


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def most_at_once(jobs: list[FakeJob]) -> int:
    """How many of the finished jobs were at work at the same time."""
    times = [job.record()["times"] for job in jobs]
    return max(sum(begun <= t < ended for begun, ended in times) for t, _ in times)


def test_an_array_finishes_and_is_never_submitted_twice(tmp_path, capsys):
    jobs = [FakeJob(make_run(f"b{i}"), tmp_path, steps=20, pause=0.05) for i in range(4)]
    runs = [job.run for job in jobs]
    ids = submit(jobs[:3], SlurmOptions(hours=1 / 60, cpus=2, gpus=1, extra={"mem": "100M"}), tmp_path)
    array = ids[0].split("_")[0]
    assert ids == [f"{array}_{i}" for i in range(3)]
    assert submit(jobs[:3], QUICK, tmp_path) == []
    assert {state.status for state in status(tmp_path, runs[:3]).values()} <= {"queued", "running"}
    [last] = submit(jobs, QUICK, tmp_path)
    assert [outcome.status for outcome in wait(tmp_path, runs, poll=0.5)] == ["ok"] * 4
    assert all(job.result() == {"sum": sum(range(20)), "resumed": 0} for job in jobs)
    assert [len(job.starts()) for job in jobs] == [1] * 4
    states = status(tmp_path, runs)
    assert [(s.status, s.job) for s in states.values()] == [("ok", job) for job in [*ids, last]]
    environment = jobs[0].record()["environment"]
    assert environment["OMP_NUM_THREADS"] == environment["SLURM_CPUS_PER_TASK"] == "2"
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
    assert environment["CUDA_VISIBLE_DEVICES"] in ("0", "1")
    assert capsys.readouterr().out.count(" ok none-b") == 4


def test_a_preempted_run_resumes_and_ends_the_same(tmp_path):
    from submitit import SlurmJob

    job = FakeJob(make_run("preempted"), tmp_path, steps=100, pause=0.05)
    [name] = submit([job], QUICK, tmp_path)
    wait_until(job.starts)
    time.sleep(2)
    SlurmJob(tmp_path, name)._interrupt()
    wait_until(lambda: len(job.starts()) == 2)
    assert (job.folder / "checkpoint.pt").exists()
    assert [outcome.status for outcome in wait(tmp_path, [job.run], poll=0.5)] == ["ok"]
    result = job.result()
    assert result["sum"] == sum(range(100))
    assert 20 <= result["resumed"] < 100
    assert job.record()["environment"]["SLURM_RESTART_COUNT"] == "1"


def test_a_requeued_run_is_not_taken_for_dead(tmp_path):
    job = FakeJob(make_run("requeued"), tmp_path, steps=100, pause=0.05)  # longer than KillWait
    [name] = submit([job], QUICK, tmp_path)
    wait_until(job.starts)
    subprocess.run(["scontrol", "requeue", name], check=True)
    seen = set()

    def ended() -> bool:
        [state] = collect(tmp_path, [job.run]).values()
        seen.add(state.status)
        return state.status == "ok"

    wait_until(ended)
    assert seen <= {"queued", "running", "ok"}
    assert len(job.starts()) == 2 and job.result()["sum"] == sum(range(100))


def test_a_crash_leaves_a_failed_record_and_the_rest_finish(tmp_path):
    acts = ["", "exit", "SIGKILL", "raise", "fail", ""]
    jobs = [FakeJob(make_run(f"b{i}"), tmp_path, act=act) for i, act in enumerate(acts)]
    submit(jobs, QUICK, tmp_path)
    outcomes = wait(tmp_path, [job.run for job in jobs], poll=0.5)
    assert [outcome.status for outcome in outcomes] == ["ok", "failed", "failed", "failed", "failed", "ok"]
    reasons = [str(outcome.error) for outcome in outcomes]
    assert "ended as FAILED (exit code 3:0)" in reasons[1]
    assert "(exit code 9:0)" in reasons[2] and "Killed" in reasons[2]
    assert "ValueError: a bug" in reasons[3]
    assert reasons[4] == "it was told to fail"
    assert [records.failed(tmp_path, job.run) for job in jobs[1:5]] == reasons[1:5]
    again = [FakeJob(job.run, tmp_path) for job in jobs[1:5]]
    assert len(submit(again, QUICK, tmp_path)) == 4
    assert {o.status for o in wait(tmp_path, [job.run for job in jobs], poll=0.5)} == {"ok"}


def test_a_cancelled_run_fails(tmp_path):
    jobs = [FakeJob(make_run(f"b{i}"), tmp_path, steps=1000, pause=0.05) for i in range(3)]
    ids = submit(jobs, SlurmOptions(hours=1 / 60, max_parallel=1), tmp_path)
    wait_until(jobs[0].starts)
    subprocess.run(["scancel", ids[0].split("_")[0]], check=True)
    outcomes = wait(tmp_path, [job.run for job in jobs], poll=0.5)
    assert [outcome.status for outcome in outcomes] == ["failed"] * 3
    assert all("CANCELLED" in str(outcome.error) for outcome in outcomes)
    assert not jobs[1].starts() and not jobs[2].starts()


def test_a_stale_teacher_is_run_again_and_so_is_its_student_after_it(tmp_path):
    teacher = FakeJob(make_run("teacher"), tmp_path, steps=20, pause=0.05)
    student = FakeJob(make_run("student", teacher=teacher.run.run_id), tmp_path)
    runs = [student.run, teacher.run]
    assert (teacher(), student()) == ("ok", "ok")
    write_json(teacher.folder / "train.json", {**teacher.record(), "fingerprint": "of before"})
    assert {state.status for state in status(tmp_path, runs).values()} == {"stale"}
    assert len(submit([student, teacher], QUICK, tmp_path)) == 2
    assert {state.status for state in status(tmp_path, runs).values()} <= {"queued", "running"}
    assert [outcome.status for outcome in wait(tmp_path, runs, poll=0.5)] == ["ok", "ok"]
    assert len(teacher.starts()) == 2
    logs = sorted((tmp_path / "slurm").glob("*/*_log.out"), key=lambda path: path.stat().st_mtime)
    assert len(logs) == 2  # the student's task came, and found its teacher as it was


@pytest.mark.parametrize(("array_size", "max_parallel"), [(1001, 2), (2, 1)])
def test_max_parallel_is_kept_across_arrays(tmp_path, monkeypatch, array_size, max_parallel):
    monkeypatch.setattr(slurm, "_max_array_size", lambda: array_size)
    jobs = [FakeJob(make_run(f"b{i}"), tmp_path, steps=10, pause=0.05) for i in range(4)]
    ids = submit(jobs, SlurmOptions(hours=1 / 60, max_parallel=max_parallel), tmp_path)
    assert len({name.split("_")[0] for name in ids}) == -(-4 // array_size)
    wait(tmp_path, [job.run for job in jobs], poll=0.5)
    assert most_at_once(jobs) == max_parallel


def test_what_sbatch_refuses_is_one_line(tmp_path):
    job = FakeJob(make_run("b"), tmp_path)
    with pytest.raises(UsageError, match=r"^sbatch: error: .*[Ii]nvalid partition.*nowhere") as refused:
        submit([job], SlurmOptions(partition="nowhere"), tmp_path)
    assert "\n" not in str(refused.value)
    assert status(tmp_path, [job.run])[job.run.run_id].status == "missing"


def test_the_cluster_says_how_large_an_array_may_be():
    assert slurm._max_array_size() == 1001


def test_a_controller_that_does_not_answer_is_no_end_of_a_run(tmp_path, monkeypatch):
    job = FakeJob(make_run("b"), tmp_path, steps=20, pause=0.05)
    submit([job], QUICK, tmp_path)
    nowhere = tmp_path / "slurm.conf"
    nowhere.write_text(CONFIGURATION.read_text().replace("SlurmctldPort=27817", "SlurmctldPort=27899"))
    with monkeypatch.context() as patch:
        patch.setenv("SLURM_CONF", str(nowhere))
        patch.setenv("SLURM_CLIENT_TIMEOUT", "1")
        with pytest.raises(UsageError, match="squeue"):
            collect(tmp_path, [job.run])
    assert [o.status for o in wait(tmp_path, [job.run], poll=0.5)] == ["ok"]


def test_a_preempted_training_run_ends_bit_for_bit_the_same(tmp_path):
    from submitit import SlurmJob

    name, suite = load_suite("smoke")
    settings = {"training.steps": 4000}
    run = plan(name, suite, baselines=["fm_ot"], datasets=["checkerboard"], settings=settings)[0]
    preempted, whole = (Job(run, tmp_path / root, tmp_path / "data") for root in ("preempted", "whole"))
    [job_id] = submit([preempted], QUICK, preempted.root)
    submit([whole], SlurmOptions(hours=0.1), whole.root)  # on a busy machine, too, without a second start
    log = preempted.folder / "log.txt"
    wait_until(lambda: log.exists() and "train step" in log.read_text())
    SlurmJob(tmp_path, job_id)._interrupt()
    for job in (preempted, whole):
        assert [outcome.status for outcome in wait(job.root, [run], poll=1)] == ["ok"]
    assert "resumed at step" in log.read_text()
    assert "resumed at step" not in (whole.folder / "log.txt").read_text()
    assert numbers(preempted) == numbers(whole)


def numbers(job: Job) -> dict[str, list[float]]:
    """What a finished run measured, without what depends on the clock and the machine."""
    stages = {stage: records.read_stage(job.root, job.run.run_id, stage) for stage in job.run.stages}
    assert all(stages.values())
    return {
        stage: [
            m["value"] for m in record["measurements"] if "seconds" not in m["metric"] and "memory" not in m["metric"]
        ]
        for stage, record in stages.items()
        if record
    }


# A run on four ranks: two nodes with two GPUs each, pretended, so that the ranks meet on the CPU.

FOUR = SlurmOptions(hours=0.1, nodes=2, gpus=2)

PLUGIN = """
import os
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from bench.methods.flow import FlowBaseline, mean_square, noise
from bench.methods.baseline import register_baseline

HERE = Path(__file__).parent

@register_baseline("it", label="It")
@dataclass(frozen=True)
class It(FlowBaseline):
    def loss(self, net, x1, rng):
        if (HERE / "slow").exists():
            with (HERE / f"calls-{os.environ['RANK']}").open("a") as file:
                print(os.getpid(), file=file)
            time.sleep(0.05)
        return mean_square(net(noise(x1, rng)[:, 0], x1) - x1)

    def velocity(self, net):
        rank = os.environ.get("RANK")
        if any(frame.filename.endswith("rehearsal.py") for frame in traceback.extract_stack()):
            rank = None
        if (HERE / "failing").exists() and rank == "2":
            raise RuntimeError("no such\\n  velocity")
        if (HERE / "failing").exists() and rank == "0":
            return lambda t, x: time.sleep(600)
        return lambda t, x: net(t.expand(len(x)), x)
"""


def shared_by(ranks: int, folder: Path, root: str, settings: str) -> Job:
    """A run of the plugin's method."""
    (folder / "plugin.py").write_text(PLUGIN)
    (folder / "shared.toml").write_text(
        'protocol = "smoke"\n[[experiments]]\nbaselines = ["it"]\n'
        'dataset = { name = "checkerboard", n_train = 256, n_test = 40 }\n'
        f'network = {{ name = "mlp", width = 8, depth = 1 }}\n{settings}\n'
    )
    [run] = plan(*load_suite(str(folder / "shared.toml")))
    return Job(run, folder / root, folder / "data", plugins=(str(folder / "plugin.py"),), ranks=ranks)


@pytest.mark.usefixtures("own_baselines")
def test_a_run_of_four_ranks_is_preempted_and_goes_on_with_four(tmp_path):
    from submitit import SlurmJob

    settings = "training = { steps = 200, batch = 32, micro_batch = 8, curve_points = 1, curve_n = 10 }\n"
    settings += "evaluation.likelihood = { n = 20, batch = 5 }"
    four, alone = (shared_by(n, tmp_path, f"by-{n}", settings) for n in (4, 1))
    (tmp_path / "slow").touch()
    [job_id] = submit([four], FOUR, four.root)
    log = four.folder / "log.txt"
    wait_until(lambda: log.exists() and "train step" in log.read_text(), 120)
    SlurmJob(four.root, job_id)._interrupt()
    calls = [tmp_path / f"calls-{rank}" for rank in range(4)]
    wait_until(lambda: all(len(set(path.read_text().split())) == 2 for path in calls), 120)
    (tmp_path / "slow").unlink()
    assert alone() == "ok"
    assert [outcome.status for outcome in wait(four.root, [four.run], poll=1)] == ["ok"]
    assert log.read_text().count("resumed at step") == 1
    for stage, values in numbers(alone).items():
        assert numbers(four)[stage] == pytest.approx(values, rel=1e-3)
        record = records.read_stage(four.root, four.run.run_id, stage)
        assert record and record["device_count"] == 4


@pytest.mark.usefixtures("own_baselines")
def test_a_rank_that_fails_ends_its_run_with_its_reason(tmp_path):
    """The main one is deaf, and two others lose their connection."""
    settings = "training = { steps = 2, batch = 32, micro_batch = 8 }\nevaluation.likelihood = { n = 20, batch = 5 }"
    job = shared_by(4, tmp_path, "results", settings)
    (tmp_path / "failing").touch()
    submit([job], FOUR, job.root)
    [outcome] = wait(job.root, [job.run], poll=1)
    assert outcome.status == "failed" and str(outcome.error).startswith("RuntimeError: no such velocity")
    assert records.failed(job.root, job.run) == outcome.error
    assert records.stands(job.root, job.run)["train"].state == "done"


def test_the_command_from_end_to_end(tmp_path):
    command = [sys.executable, REPOSITORY / "run_all.py", "--suite", "smoke", "--results", tmp_path / "results"]
    command += ["--data-dir", tmp_path / "data", "--datasets", "checkerboard", "--baselines", "fm_ot,ddpm"]

    def call(*options: str) -> tuple[int, str]:
        done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout + done.stderr

    code, output = call("--cluster", "slurm", "--partition", "nowhere")
    assert code == 2 and "nvalid partition" in output.splitlines()[-1]
    code, output = call("--cluster", "slurm", "--hours", "0.1", "--max-parallel", "2")
    assert code == 0 and "submitted 2 tasks as Slurm job" in output
    code, output = call("--status")
    assert code == 0 and "2 missing" not in output and output.count("[Slurm ") == 2
    code, output = call("--cluster", "slurm", "--wait")
    assert code == 0 and "submitted 0 tasks" in output and "[2/2] ok" in output
    code, output = call("--status")
    assert code == 0 and output.splitlines()[-1] == "2 ok"
    assert (tmp_path / "results" / "smoke" / "report.html").exists()
    code, output = call("--cluster", "slurm")
    assert code == 0 and "nothing to do" in output


def test_a_run_that_reaches_its_time_limit_goes_on(cut_off):
    outcomes = wait(cut_off.root, [cut_off.run], poll=1)
    assert [outcome.status for outcome in outcomes] == ["ok"]
    result = cut_off.result()
    assert result["sum"] == sum(range(1500))
    assert result["resumed"] > 100
    assert len(cut_off.starts()) >= 2  # Slurm may signal a minute early
    [log] = (cut_off.root / "slurm").glob("*/*_log.out")
    assert "Job has timed out" in log.read_text()
