"""Runs that two processes share: what fails fails with its own reason, and what is stopped goes on."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fake_jobs import FakeJob, make_run
from test_local import running, wait_until
from tiny import HEAD, runs

from bench.launch import torchrun
from bench.launch.job import Job
from bench.launch.local import launch_local
from bench.launch.surroundings import interpreter
from bench.records import records, retries
from bench.records.locks import locked
from bench.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("own_baselines")


def job(folder: Path, plugin: str, settings: str, ranks: int = 2) -> Job:
    """A run of the method `it` that the plugin registers."""
    path = folder / "plugin.py"
    path.write_text(plugin)
    [run] = runs(folder, HEAD + 'baselines = ["it"]\n' + settings)
    return Job(run, folder / "results", folder / "data", plugins=(str(path),), ranks=ranks)


# Failures.

FAILING = """
import os
import time
import traceback
from dataclasses import dataclass
from bench.methods.flow import FlowBaseline, mean_square, noise
from bench.methods.baseline import register_baseline

def rehearsed():
    return any(frame.filename.endswith("rehearsal.py") for frame in traceback.extract_stack())

@register_baseline("it", label="Failing")
@dataclass(frozen=True)
class Failing(FlowBaseline):
    def loss(self, net, x1, rng):
        return mean_square(net(noise(x1, rng)[:, 0], x1))

    def velocity(self, net):
        if rehearsed():
            return lambda t, x: net(t.expand(len(x)), x)
        if os.environ["RANK"] == "1":
            raise RuntimeError("no such\\n  velocity")
        return lambda t, x: time.sleep(600)
"""


@pytest.mark.slow
def test_a_rank_that_fails_leaves_its_reason_and_costs_its_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The main one, at work on its own share, does not see it."""
    settings = "training = { steps = 2, batch = 16, micro_batch = 8 }\nevaluation.likelihood = { n = 20, batch = 10 }\n"
    bad, good = job(tmp_path, FAILING, settings), FakeJob(make_run("good"), tmp_path / "results")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "bench.py").write_text("raise RuntimeError('another bench')")
    monkeypatch.chdir(tmp_path / "elsewhere")
    begun = time.monotonic()
    outcomes = launch_local([bad, good], workers=1, device="cpu")  # type: ignore[list-item]
    assert time.monotonic() - begun < 120
    assert [(o.status, o.error) for o in outcomes] == [("failed", "RuntimeError: no such velocity"), ("ok", None)]
    assert records.failed(bad.root, bad.run) == "RuntimeError: no such velocity"
    written = {stage: records.read_stage(bad.root, bad.run.run_id, stage) for stage in bad.run.stages}
    assert [record and record["status"] for record in written.values()] == ["ok", "failed"]
    log = (bad.folder / "log.txt").read_text()
    assert "Traceback" in log and 'raise RuntimeError("no such\\n  velocity")' in log
    with locked(bad.folder / "lock", wait=False) as free:
        assert free


class Ended:
    """A torchrun that has ended, after its ranks did something."""

    def __init__(self, code: int, did: Callable[[Path], object] = lambda folder: None) -> None:
        self.code, self.did = code, did

    def __call__(self, command: list[str], **_: Any) -> "Ended":
        self.did(Path(command[-1]))
        return self

    def wait(self) -> int:
        return self.code


PLAIN = "training = { steps = 2, batch = 16, micro_batch = 8 }\n"


def ended(monkeypatch: pytest.MonkeyPatch, this: Job, code: int, did: Callable[[Path], object]) -> str:
    with monkeypatch.context() as patch:
        patch.setattr(torchrun, "subprocess", SimpleNamespace(Popen=Ended(code, did)))
        return torchrun.run(this)


def test_ranks_that_end_without_a_record_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    this = job(tmp_path, FAILING, PLAIN)
    this.folder.mkdir(parents=True)
    assert ended(monkeypatch, this, 3, lambda folder: this.rank_error.write_text("ValueError: odd")) == "failed"
    assert records.failed(this.root, this.run) == "ValueError: odd"
    retries.forget_failure(this.root, this.run)
    # The next attempt has a reason of its own, or none.
    assert ended(monkeypatch, this, 3, lambda folder: None) == "failed"
    assert records.failed(this.root, this.run) == "torchrun ended with status 3"


def test_what_the_main_rank_says_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    this = job(tmp_path, FAILING, PLAIN)
    assert ended(monkeypatch, this, 0, lambda folder: (folder / "status").write_text("busy")) == "busy"

    def failed(folder: Path) -> None:
        records.fail(this.root, this.run, "its own")
        (folder / "status").write_text("failed")

    assert ended(monkeypatch, this, 1, failed) == "failed"
    assert records.failed(this.root, this.run) == "its own"
    # A signal to one of the ranks says nothing of the run.
    retries.forget_failure(this.root, this.run)
    with pytest.raises(SystemExit) as stop:
        ended(monkeypatch, this, 1, lambda folder: (folder / "status").write_text("stopped: 143"))
    assert stop.value.code == 143
    # Nothing that happens after the last record makes a failure of it.
    retries.forget_failure(this.root, this.run)
    assert ended(monkeypatch, this, 1, lambda folder: records.write_stage(this.root, this.run, "train", [], {})) == "ok"
    assert records.failed(this.root, this.run) is None


AFTER = """
import traceback
from dataclasses import dataclass
from pathlib import Path
from bench.methods.flow import FlowBaseline, mean_square, noise
from bench.methods.baseline import register_baseline

def rehearsed():
    return any(frame.filename.endswith("rehearsal.py") for frame in traceback.extract_stack())

FIRST = Path(__file__).parent / "first"

@register_baseline("it", label="After another")
@dataclass(frozen=True)
class After(FlowBaseline):
    def loss(self, net, x1, rng):
        if rehearsed():
            return mean_square(net(noise(x1, rng)[:, 0], x1))
        if FIRST.exists():
            Path(FIRST.read_text()).write_text("ValueError: odd")
        raise RuntimeError("lost it")
"""


@pytest.mark.parametrize("first", [False, True])
def test_the_first_reason_of_several_ranks_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], first: bool
) -> None:
    """Those that lose their connection to it come after."""
    monkeypatch.setenv("RANK", "2")
    this = job(tmp_path, AFTER, PLAIN)
    if first:
        (tmp_path / "first").write_text(str(this.rank_error))
    with pytest.raises(SystemExit):
        this()
    reason = "ValueError: odd" if first else "RuntimeError: lost it"
    assert this.reason("RuntimeError: connection closed") == reason
    assert records.failed(this.root, this.run) is None
    assert "RuntimeError: lost it" in capfd.readouterr().err


def test_the_main_rank_quotes_the_one_that_failed(tmp_path: Path) -> None:
    this = job(tmp_path, AFTER, PLAIN)
    (tmp_path / "first").write_text(str(this.rank_error))
    assert this() == "failed" and records.failed(this.root, this.run) == "ValueError: odd"
    (tmp_path / "first").unlink()
    assert this() == "failed" and records.failed(this.root, this.run) == "RuntimeError: lost it"


# Stopping and going on.

PACED = """
import os
import time
from dataclasses import dataclass
from pathlib import Path
from bench.methods.flow import FlowBaseline, mean_square, noise
from bench.methods.baseline import register_baseline

HERE = Path(__file__).parent

@register_baseline("it", label="Paced")
@dataclass(frozen=True)
class Paced(FlowBaseline):
    def loss(self, net, x1, rng):
        if (HERE / "slow").exists():
            with (HERE / f"calls-{os.environ['RANK']}").open("a") as file:
                file.write(f"{os.getpid()}\\\\n")
            time.sleep(0.05)
        return mean_square(net(noise(x1, rng)[:, 0], x1) - x1)
""".replace("\\\\", "\\")

SHARDED = """
training = { steps = 300, batch = 32, micro_batch = 8, ema = 0.9, warmup = 20, decay = "cosine", curve_points = 2, curve_n = 10, shard_optimizer = true }
"""  # noqa: E501


def state(this: Job) -> dict[str, Any]:
    return torch.load(this.folder / "checkpoint.pt", weights_only=True)


def same_end(one: Job, other: Job) -> None:
    """Both have ended, with the same weights, averages and moments but for rounding."""
    a, b = state(one), state(other)
    assert a["step"] == b["step"] == 300 and a["nfe"] == b["nfe"] == 300
    for key in ("module", "average", "optimizer", "loss"):
        torch.testing.assert_close(b[key], a[key], rtol=1e-3, atol=1e-4, msg=lambda text, key=key: f"{key}: {text}")
    # An adaptive solver's evaluations may jump with the last digit of the weights.
    curves = [[row for row in json.loads(end["curve"]) if row["metric"] == "nll_nats"] for end in (a, b)]
    assert [row["place"]["step"] for row in curves[0]] == [150, 300]
    for x, y in zip(*curves, strict=True):
        assert x["place"]["step"] == y["place"]["step"] and y["value"] == pytest.approx(x["value"], rel=1e-3)


class Killed(BaseException):
    pass


def killed_at(step: int, this: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the job in this process until it dies in the middle of a step, after a checkpoint of every one before."""
    take = Trainer.take_step

    def take_step(self: Trainer) -> torch.Tensor:
        self.settings = self.settings.model_copy(update={"checkpoint_seconds": 1e-9})
        if self.step == step:
            raise Killed
        return take(self)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Trainer, "take_step", take_step)
        this()


def calls(folder: Path, rank: int) -> list[int]:
    """The process of every loss that the rank has computed while it was slow."""
    path = folder / f"calls-{rank}"
    return [int(pid) for pid in path.read_text().split()] if path.exists() else []


def launcher(this: Job) -> "subprocess.Popen[str]":
    """`launch_local` of the job in a process of its own, once its ranks have done a few steps."""
    script = "import pickle, sys; from bench.launch.local import launch_local\n"
    script += "print(launch_local([pickle.load(open(sys.argv[1], 'rb'))], 1, 'cpu'))"
    folder = this.root.parent
    (folder / "job").write_bytes(pickle.dumps(this))
    before = [len(calls(folder, rank)) for rank in (0, 1)]
    command = [sys.executable, "-c", script, str(folder / "job")]
    process = subprocess.Popen(command, env=os.environ | interpreter(), stdout=subprocess.PIPE, text=True)
    wait_until(lambda: all(len(calls(folder, rank)) >= n + 5 for rank, n in enumerate(before)), 120)
    return process


@pytest.mark.slow
@pytest.mark.usefixtures("warm_interpreters")
def test_a_run_goes_on_with_any_number_of_ranks_whatever_stopped_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One rank dies at step 5; two go on, are told to stop, and go on twice: both as one, and as two that are killed
    with their worker first."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for variable, value in interpreter().items():
        monkeypatch.setenv(variable, value)
    this = job(tmp_path, PACED, SHARDED)
    alone, whole = (Job(this.run, tmp_path / name, this.data_dir, plugins=this.plugins) for name in ("alone", "whole"))
    assert whole() == "ok"

    killed_at(5, Job(this.run, this.root, this.data_dir, plugins=this.plugins), monkeypatch)
    assert state(this)["step"] == 5

    (tmp_path / "slow").touch()
    process = launcher(this)
    pids = {calls(tmp_path, rank)[-1] for rank in (0, 1)}
    assert len(pids) == 2
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert process.returncode != 0 and output.startswith("stopping: the runs save their checkpoints")
    assert not any(map(running, pids))
    stopped = state(this)["step"]
    assert 5 < stopped < 150
    done = [len(calls(tmp_path, rank)) for rank in (0, 1)]
    assert done[0] == 2 * (stopped - 5)
    assert 0 <= done[1] - done[0] <= 2  # the signal may reach it later than the main one's decision
    assert [path.name for path in this.folder.glob("*.json")] == ["underway.json"]

    alone.folder.mkdir(parents=True)
    shutil.copy(this.folder / "checkpoint.pt", alone.folder)

    process = launcher(this)
    pids = {calls(tmp_path, rank)[-1] for rank in (0, 1)}
    (worker,) = children(process.pid)
    os.kill(worker, signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    assert "worker killed by signal 9" in str(records.failed(this.root, this.run)) and "1/1] failed" in output
    wait_until(lambda: not any(map(running, pids)))
    retries.forget_failure(this.root, this.run)

    (tmp_path / "slow").unlink()
    assert alone() == "ok" and torchrun.run(this) == "ok"
    log = (this.folder / "log.txt").read_text()
    assert log.count("resumed at step 5\n") == 1 and log.count(f"resumed at step {stopped}\n") == 2
    same_end(whole, alone)
    same_end(whole, this)


def children(pid: int) -> list[int]:
    """The processes that a process has started and that live."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split() if running(int(child))]
