"""What a run is started from, in and beside changes nothing : switches, other jobs, outputs, limits, disks."""

import functools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_jobs import FakeJob, make_run
from test_local import launch_in_a_process, running, wait_until
from tiny import runs, write_suite

from bench.errors import UsageError
from bench.launch import pool, threads
from bench.launch.job import Job
from bench.launch.local import launch_local
from bench.launch.queue import Submission
from bench.launch.surroundings import applied, environment
from bench.records import records

REPOSITORY = Path(__file__).parents[2]
FOREIGN = {
    **{"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "3", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "1"},
    **{"TORCHELASTIC_RUN_ID": "theirs", "PET_NNODES": "2", "OMPI_COMM_WORLD_SIZE": "4", "SUBMITIT_EXECUTOR": "slurm"},
    **{"SLURM_MEM_PER_NODE": "100", "SLURM_JOB_ID": "7", "SBATCH_TIMELIMIT": "1", "SQUEUE_FORMAT": "%i"},
    **{"PYTHONOPTIMIZE": "2", "PYTHONWARNINGS": "error", "PYTHONSAFEPATH": "1", "PYTHONSTARTUP": "/none"},
}


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in FOREIGN.items():
        monkeypatch.setenv(variable, value)


# The environment of what we start.


@pytest.mark.usefixtures("foreign")
def test_nothing_of_another_job_or_of_our_own_switches_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    monkeypatch.setenv("MY_VARIABLE", "mine")
    found = environment()
    assert not FOREIGN.keys() & found.keys()
    assert found["SLURM_CONF"] == "/etc/slurm.conf" and found["MY_VARIABLE"] == "mine"
    assert found["PYTHONPATH"].split(os.pathsep)[0] == str(REPOSITORY)
    assert found["PYTHONUTF8"] == str(sys.flags.utf8_mode)
    before = dict(os.environ)
    with pytest.raises(ZeroDivisionError), applied():
        assert dict(os.environ) == found
        raise ZeroDivisionError
    assert dict(os.environ) == before


@pytest.mark.slow
@pytest.mark.usefixtures("foreign")
def test_a_worker_sees_none_of_it(tmp_path: Path) -> None:
    job = FakeJob(make_run("b"), tmp_path)
    [outcome] = launch_local([job], workers=1, device="cpu")  # type: ignore[list-item]
    assert outcome.status == "ok"
    assert not FOREIGN.keys() & job.record()["environment"].keys()


# How Python was started.


def command(*arguments: str, switches: tuple[str, ...] = (), **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *switches, str(REPOSITORY / "run_all.py"), *arguments],
        **{"capture_output": True, "text": True, "timeout": 300, **options},
    )


@pytest.mark.slow
@pytest.mark.parametrize("switches", [("-I", "-OO"), ("-W", "error", "-X", "utf8")])
def test_the_command_works_under_switches_of_python(tmp_path: Path, switches: tuple[str, ...]) -> None:
    ended = command("--suite", str(write_suite(tmp_path)), "--dry-run", switches=switches, cwd=tmp_path)
    assert ended.returncode == 0 and "would start" in ended.stdout, ended.stderr


@pytest.mark.slow
def test_a_suite_runs_and_reports_in_hostile_surroundings(tmp_path: Path) -> None:
    """Warnings as errors, without asserts, as if in another job."""
    arguments = ["--suite", str(write_suite(tmp_path)), "--results", str(tmp_path / "r"), "--seeds", "0"]
    arguments += ["--baselines", "fm_ot"]
    ended = command(*arguments, env=os.environ | FOREIGN, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr and (tmp_path / "r" / "tiny" / "report.html").exists()


# Outputs that go away.


@pytest.mark.slow
def test_a_list_whose_reader_has_gone_ends_quietly() -> None:
    line = f"{sys.executable} {REPOSITORY / 'run_all.py'} --list | head -n 1; echo ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60)
    assert ended.stdout.splitlines()[-1] == "0" and ended.stderr == ""


LAUNCH = """
import sys, pathlib
from bench.command.output import lasting
from fake_jobs import *
from bench.launch.local import launch_local
from bench.launch.queue import Submission
with lasting():
    jobs = [FakeJob(make_run(f"b{i}"), pathlib.Path(sys.argv[1])) for i in range(6)]
    print("begins")
    launch_local(jobs, 2, "cpu")
    print("gr\\u00f6\\u00dfer \\u03a9 \\ud800")
"""


@pytest.mark.slow
@pytest.mark.parametrize("outputs", ["| head -n 1", ">&-", "2>&-", ">&- 2>&- <&-", "> /dev/full 2> /dev/full"])
def test_runs_go_on_without_an_output(tmp_path: Path, outputs: str) -> None:
    (tmp_path / "launch.py").write_text(LAUNCH, encoding="utf-8")
    line = f"{sys.executable} {tmp_path}/launch.py {tmp_path}/r {outputs}; exit ${{PIPESTATUS[0]}}"
    variables = os.environ | environment() | {"PYTHONIOENCODING": "iso-8859-1:strict"}
    variables["PYTHONPATH"] += os.pathsep + str(Path(__file__).parent)
    ended = subprocess.run(["bash", "-c", line], env=variables, capture_output=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert b"Traceback" not in ended.stderr
    done = [records.finished(tmp_path / "r", make_run(f"b{i}")) for i in range(6)]
    assert all(done)


# Workers that are told to stop.


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU])
def test_a_run_whose_worker_is_told_to_stop_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    process, job = launch_in_a_process(tmp_path, steps=150, pause=0.02)
    [worker] = job.starts()
    os.kill(worker, number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "goes on" in output, output
    assert len(job.starts()) == 2
    assert job.result()["sum"] == sum(range(150)) and job.result()["resumed"] >= 5


@pytest.mark.slow
@pytest.mark.parametrize(("act", "starts"), [("SIGTERM", 3), ("SIGXCPU", 3), ("SIGKILL", 1), ("SIGSEGV", 1)])
def test_a_run_that_gets_nowhere_is_given_up(tmp_path: Path, act: str, starts: int) -> None:
    bad, good = FakeJob(make_run("bad"), tmp_path, act=act), FakeJob(make_run("good"), tmp_path)
    outcomes = launch_local([bad, good], workers=1, device="cpu")  # type: ignore[list-item]
    assert [o.status for o in outcomes] == ["failed", "ok"] and act in str(outcomes[0].error)
    assert len(bad.starts()) == starts


@pytest.mark.slow
def test_a_killed_run_is_tried_again_only_if_it_got_further(tmp_path: Path) -> None:
    process, job = launch_in_a_process(tmp_path, steps=60, pause=0.02)
    [worker] = job.starts()
    os.kill(worker, signal.SIGTERM)
    wait_until(lambda: len(job.starts()) == 2)
    (job.folder / "checkpoint.pt").touch()  # as a periodic one
    os.kill(job.starts()[-1], signal.SIGKILL)
    wait_until(lambda: len(job.starts()) == 3)
    os.kill(job.starts()[-1], signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert "failed none-long" in output and len(job.starts()) == 3
    assert "SIGKILL" in str(records.failed(tmp_path, job.run))


@pytest.mark.slow
def test_a_launcher_whose_terminal_hangs_up_saves_and_ends(tmp_path: Path) -> None:
    process, job = launch_in_a_process(tmp_path, steps=1000, pause=0.02)
    [worker] = job.starts()
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=20)
    assert process.returncode != 0 and not running(worker)
    assert (job.folder / "checkpoint.pt").exists() and records.failed(tmp_path, job.run) is None


# Full disks.


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="a small file system: only root may mount it")
@pytest.mark.usefixtures("warm_interpreters")
def test_on_a_full_disk_the_command_says_so_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        arguments = ["--suite", str(write_suite(tmp_path)), "--results", str(disk), "--seeds", "0"]
        arguments += ["--baselines", "fm_ot"]
        with (disk / "ballast").open("wb") as file:
            file.write(bytes(4 * 2**20 - 40_000))
        ended = command(*arguments)
        assert ended.returncode == 1, ended.stdout
        assert ended.stderr.count("\n") == 1 and f"no space left on tmpfs ({disk}) for {disk}/" in ended.stderr
        assert "failed" not in ended.stdout
        (disk / "ballast").unlink()
        ended = command(*arguments)
        assert ended.returncode == 0 and "1 runs to do" in ended.stdout, ended.stderr
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_stops_the_pool_and_fails_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []

    class Worker:
        job = FakeJob(make_run("b"), tmp_path)

    monkeypatch.setattr(pool, "_Worker", lambda own: Worker())
    this = pool.Pool([Worker.job], [{}], said)  # type: ignore
    with pytest.raises(OSError, match=r"^no space left on x for y$"):
        this._hear(Worker(), "done", ("full", "no space left on x for y"))  # type: ignore[arg-type]
    assert records.failed(tmp_path, Worker.job.run) is None


# Folders that cannot be written.


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="a read-only file system: only root may mount it")
@pytest.mark.usefixtures("warm_interpreters")
def test_of_read_only_results_everything_is_said_that_needs_no_writing(tmp_path: Path) -> None:
    results, suite = tmp_path / "r", str(write_suite(tmp_path))
    [done, *_] = runs(tmp_path)
    records.write_stage(results / "tiny", done, "train", [], {})
    Submission("5", "lost", "log").write(results / "tiny", done)
    for program, script in (("squeue", "exit 0"), ("sacct", "exit 1")):
        (tmp_path / program).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tmp_path / program).chmod(0o755)
    around = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    bind = ["mount", "--bind", str(results), str(results)]
    if subprocess.run(bind, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(results)], check=True)
        arguments = ["--suite", suite, "--results", str(results)]
        ended = command(*arguments, "--status", env=around)
        assert f"failed   {done.run_id}  [Slurm 5]" in ended.stdout and ended.stderr == ""
        assert command(*arguments, "--dry-run", env=around).returncode == 0
        for action in (["--report"], []):
            ended = command(*arguments, *action, env=around)
            assert ended.returncode in (1, 2) and ended.stderr.count("\n") == 1, ended.stderr
            assert str(results) in ended.stderr and "Traceback" not in ended.stderr
    finally:
        subprocess.run(["umount", "--lazy", str(results)], check=True)


# Threads.


def test_a_run_keeps_the_threads_that_it_was_begun_with(tmp_path: Path) -> None:
    assert threads.kept(tmp_path / "run", 2) == 2
    assert threads.kept(tmp_path / "run", 8) == 2
    (tmp_path / "run" / threads.FILE).write_bytes(b"\xff?")
    assert threads.kept(tmp_path / "run", 8) == 8


@pytest.mark.slow
def test_a_job_goes_on_with_the_threads_that_it_was_begun_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    monkeypatch.setattr(threads, "use", used.append)
    run = runs(tmp_path)[0]
    for given in (2, 8):
        assert Job(run, tmp_path / "r", tmp_path / "data", threads=given)() == "ok"
        (tmp_path / "r" / "runs" / run.run_id / "samples.json").unlink()
    assert used == [2, 2]


THREADS = """
import sys, torch
from bench.launch import threads
if sys.argv[1:]:
    torch.randn(100, 100) @ torch.randn(100, 100)
    threads.use(int(sys.argv[1]))
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.SiLU(), torch.nn.Linear(256, 1))
x, optimizer = torch.randn(1024, 64), torch.optim.Adam(net.parameters())
for _ in range(5):
    optimizer.zero_grad(); net(x).square().mean().backward(); optimizer.step()
import numpy
a = numpy.random.default_rng(0).standard_normal((100, 100))
print(torch.get_num_threads(), sum(p.double().sum().item() for p in net.parameters()).hex())
print(numpy.linalg.svd(a @ a.T)[1].sum().hex())
"""


@pytest.mark.slow
def test_threads_that_are_set_later_compute_what_threads_from_the_start_do() -> None:
    @functools.cache
    def result(start: int, *later: str, waiting: str = "PASSIVE") -> str:
        variables = environment() | threads.variables(start) | {"OMP_WAIT_POLICY": waiting}
        return subprocess.check_output([sys.executable, "-c", THREADS, *later], env=variables, text=True, timeout=120)

    for count in (1, 2):
        assert result(count) == result(3 - count, str(count))
    assert result(2) == result(2, waiting="ACTIVE")


# Names.


def test_a_folder_that_is_a_pattern_to_slurm_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.launch.slurm import SlurmOptions, submit

    (tmp_path / "sbatch").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="patterns"):
        submit([], SlurmOptions(), tmp_path / "a%j")
