"""The pool of worker processes: isolation, held runs, interruption, and how cores and GPUs are shared."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from fake_jobs import FakeJob, make_run

from bench.launch import local, pool
from bench.launch.local import launch_local, worker_environments
from bench.launch.surroundings import interpreter
from bench.records import records
from bench.records.locks import locked


@pytest.mark.slow
def test_all_runs_end_in_order_in_persistent_workers(tmp_path, capsys):
    jobs = [FakeJob(make_run(f"b{i}"), tmp_path, steps=3) for i in range(6)]
    outcomes = launch_local(jobs, workers=2, device="cpu")
    assert [o.run_id for o in outcomes] == [job.run.run_id for job in jobs]
    assert {o.status for o in outcomes} == {"ok"}
    assert all(job.result()["sum"] == 3 for job in jobs)
    assert 1 <= len({job.record()["pid"] for job in jobs}) <= 2
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[-1].startswith("[6/6] ok none-b") and lines[-1].endswith(" s")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("SIGKILL", "worker killed by signal 9 (SIGKILL; out of memory?)"),
        ("SIGSEGV", "worker killed by signal 11 (SIGSEGV)"),
        ("exit", "worker exited with status 3"),
        ("raise", "ValueError: a bug"),
        ("fail", "it was told to fail"),
    ],
)
def test_a_bad_run_costs_itself_alone(tmp_path, capsys, act, reason):
    good = [FakeJob(make_run(f"good{i}"), tmp_path) for i in range(3)]
    bad = FakeJob(make_run("bad"), tmp_path, act=act)
    outcomes = launch_local([good[0], bad, *good[1:]], workers=1, device="cpu")
    assert [o.status for o in outcomes] == ["ok", "failed", "ok", "ok"]
    assert outcomes[1].error == reason
    assert records.failed(tmp_path, bad.run) == reason
    assert all(records.finished(tmp_path, job.run) for job in good)
    assert f"failed {bad.run.run_id}" in capsys.readouterr().out
    if act == "SIGSEGV":  # the log says where
        assert "_act" in (bad.folder / "log.txt").read_text()


@pytest.mark.slow
def test_a_job_that_cannot_be_unpickled_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(pool.pickle, "dumps", lambda job: b"cno.such.module\nFakeJob\n.")
    [outcome] = launch_local([FakeJob(make_run("b"), tmp_path)], workers=1, device="cpu")
    assert outcome.status == "failed" and "ModuleNotFoundError" in str(outcome.error)


@pytest.mark.slow
def test_what_a_run_prints_stays_out_of_the_display(tmp_path, capfd):
    job = FakeJob(make_run("b"), tmp_path, act="raise")
    launch_local([job], workers=1, device="cpu")
    assert "Traceback" in (job.folder / "log.txt").read_text()
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.slow
def test_a_held_run_is_asked_for_again_until_it_is_done(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pool, "RETRY", 0.2)
    held, other = (FakeJob(make_run(name), tmp_path) for name in ("held", "other"))
    script = "import sys, time, bench.records.locks as f, pathlib\n"
    script += "with f.locked(pathlib.Path(sys.argv[1])): print(flush=True); time.sleep(1.5)"
    command = [sys.executable, "-c", script, str(held.folder / "lock")]
    environment = os.environ | interpreter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as holder:
        assert holder.stdout and holder.stdout.readline()
        outcomes = launch_local([held, other], workers=1, device="cpu")
        assert holder.wait() == 0
    assert [o.status for o in outcomes] == ["ok", "ok"]
    lines = capsys.readouterr().out.splitlines()
    assert sum("waiting" in line for line in lines) == 1
    assert "other" in lines[1] and "held" in lines[2]


def launch_in_a_process(tmp_path: Path, steps: int, pause: float) -> tuple["subprocess.Popen[str]", FakeJob]:
    """A launcher with one run of `steps` steps under way, in a process of its own."""
    job = FakeJob(make_run("long"), tmp_path, steps=steps, pause=pause)
    script = (
        "import sys, pathlib; from fake_jobs import *; from bench.launch.local import launch_local\n"
        f"job = FakeJob(make_run('long'), pathlib.Path(sys.argv[1]), steps={steps}, pause={pause})\n"
        "print(launch_local([job, FakeJob(make_run('after'), job.root)], 1, 'cpu'))"
    )
    environment = os.environ | interpreter()
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], env=environment, stdout=subprocess.PIPE, text=True
    )
    wait_until(job.starts)
    time.sleep(0.3)
    return process, job


def wait_until(condition, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def running(pid: int) -> bool:
    """Whether the process lives: a zombie whose parent has gone does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_launch_saves_and_the_next_one_resumes(tmp_path, number):
    process, job = launch_in_a_process(tmp_path, steps=100, pause=0.02)
    [worker] = job.starts()
    process.send_signal(number)
    output, _ = process.communicate(timeout=20)
    assert process.returncode != 0
    assert output.startswith("stopping: the runs save their checkpoints")
    assert not running(worker)
    assert not (job.folder / "train.json").exists()
    assert (job.folder / "checkpoint.pt").exists()
    [outcome] = launch_local([job], workers=1, device="cpu")
    assert outcome.status == "ok"
    result = job.result()
    assert result["sum"] == sum(range(100)) and result["resumed"] >= 5


def test_an_interrupt_while_the_first_is_announced_kills(tmp_path, monkeypatch):
    calls = []

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pool.Pool, "work", interrupted)
    monkeypatch.setattr(local.Progress, "say", interrupted)
    for name in ("kill", "stop"):
        monkeypatch.setattr(pool.Pool, name, lambda _, name=name: calls.append(name))
    with pytest.raises(KeyboardInterrupt):
        launch_local([], workers=1, device="cpu")
    assert calls == ["kill", "stop"]


@pytest.mark.slow
def test_a_second_interrupt_does_not_wait_for_the_step(tmp_path):
    process, job = launch_in_a_process(tmp_path, steps=2, pause=30)
    process.send_signal(signal.SIGINT)
    assert process.stdout and process.stdout.readline().startswith("stopping")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=5)
    [worker] = job.starts()
    assert not running(worker)


@pytest.mark.slow
def test_no_worker_outlives_a_killed_launcher(tmp_path):
    process, job = launch_in_a_process(tmp_path, steps=1000, pause=0.02)
    [worker] = job.starts()
    assert running(worker)
    process.kill()
    process.communicate()
    wait_until(lambda: not running(worker))
    assert (job.folder / "checkpoint.pt").exists()
    with locked(job.folder / "lock", wait=False) as free:
        assert free


@pytest.mark.slow
def test_a_pool_whose_workers_cannot_start_gives_up(tmp_path, monkeypatch):
    monkeypatch.setattr(pool.sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="3 workers in a row did not start: worker exited with status 1"):
        launch_local([FakeJob(make_run("b"), tmp_path)], workers=1, device="cpu")


def test_cores_are_shared(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    threads = {w: {e["OMP_NUM_THREADS"] for e in worker_environments(w, "cpu", 99)} for w in (None, 1, 3, 20)}
    assert threads == {None: {"1"}, 1: {"8"}, 3: {"2"}, 20: {"1"}}
    assert len(worker_environments(None, "cpu", 99)) == 8
    # The runs that are left decide how many workers there are, not how many threads a run has.
    assert [e["OMP_NUM_THREADS"] for e in worker_environments(None, "cpu", 2)] == ["1", "1"]
    assert [e["OMP_NUM_THREADS"] for e in worker_environments(4, "cpu", 1)] == ["2"]
    assert worker_environments(4, "cpu", 0) == []
    # One that has no run beside it has all the cores, whatever its threads.
    assert [[e["BENCH_CORES"] for e in worker_environments(4, "cpu", jobs)] for jobs in (1, 2)] == [["8"], ["4", "4"]]


def test_threads_of_a_worker_sleep_while_they_wait_unless_a_policy_is_set(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert [e["OMP_WAIT_POLICY"] for e in worker_environments(1, "cpu", 9)] == ["PASSIVE"]
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert [e["OMP_WAIT_POLICY"] for e in worker_environments(1, "cpu", 9)] == ["ACTIVE"]


@pytest.mark.slow
def test_every_worker_has_a_gpu_of_the_visible_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-ab")
    assert [e["CUDA_VISIBLE_DEVICES"] for e in worker_environments(None, "cuda", 9)] == ["3", "GPU-ab"]
    assert [e["CUDA_VISIBLE_DEVICES"] for e in worker_environments(3, "cuda", 9)] == ["3", "GPU-ab", "3"]
    jobs = [FakeJob(make_run(f"b{i}"), tmp_path, pause=0.5) for i in range(2)]
    launch_local(jobs, workers=2, device="cuda")
    assert {job.record()["environment"]["CUDA_VISIBLE_DEVICES"] for job in jobs} == {"3", "GPU-ab"}


def test_ranks_of_a_run_have_gpus_of_their_own(monkeypatch):
    def groups(workers, jobs, ranks):
        return [e["CUDA_VISIBLE_DEVICES"] for e in worker_environments(workers, "cuda", jobs, ranks)]

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,GPU-ab,4")
    assert groups(None, 9, 2) == ["0,1", "2,GPU-ab"]  # and the fifth is idle
    assert groups(None, 1, 2) == ["0,1"]
    assert groups(3, 9, 2) == ["0,1", "2,GPU-ab", "0,1"]
    assert groups(None, 9, 5) == ["0,1,2,GPU-ab,4"]


def test_ranks_of_a_run_share_the_cores_of_its_worker(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    shares = {ranks: worker_environments(None, "cpu", 99, ranks) for ranks in (1, 2, 3, 8, 9)}
    assert {ranks: len(found) for ranks, found in shares.items()} == {1: 8, 2: 4, 3: 2, 8: 1, 9: 1}
    assert all(e["OMP_NUM_THREADS"] == e["MKL_NUM_THREADS"] == "1" for found in shares.values() for e in found)
    assert [e["OMP_NUM_THREADS"] for e in worker_environments(1, "cpu", 99, 2)] == ["4"]
    assert not any("CUDA_VISIBLE_DEVICES" in e for found in shares.values() for e in found)


def test_gpus_are_those_that_torch_finds_or_the_visible_ones(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [e["CUDA_VISIBLE_DEVICES"] for e in worker_environments(None, "cuda", 9)] == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert local.usable_gpus() == []  # which the command refuses


@pytest.mark.slow
def test_the_launcher_imports_nothing_heavy():
    script = f"import sys, {local.__name__}, bench.launch.slurm\n"
    script += "print({'torch', 'pandas', 'submitit', 'diffusers'} & set(sys.modules))"
    command = [sys.executable, "-c", script]
    assert subprocess.check_output(command, env=os.environ | interpreter(), text=True) == "set()\n"
