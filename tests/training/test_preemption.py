"""Signals wait for the end of a step, where a checkpoint is whole, and then do what they would have done."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
import torch

from bench.training import ranks
from bench.training.preemption import at_boundary, handled

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def events() -> Iterator[list[str]]:
    """What happened, with a handler of SIGUSR2 as submitit installs one."""
    happened: list[str] = []

    def handler(number: int, frame: FrameType | None) -> None:
        happened.append("handled")

    before = signal.signal(signal.SIGUSR2, handler)
    yield happened
    signal.signal(signal.SIGUSR2, before)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Control-C as Python handles it; a process in the background of a shell begins by ignoring it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_signal_waits_for_the_boundary_and_for_the_checkpoint(events: list[str]) -> None:
    with at_boundary(lambda: events.append("saved")) as boundary:
        boundary()
        assert events == []
        os.kill(os.getpid(), signal.SIGUSR2)
        events.append("step ends")
        boundary()
        events.append("goes on")
        boundary()
    assert events == ["step ends", "saved", "handled", "goes on"]


def test_handlers_are_put_back(events: list[str]) -> None:
    before = [signal.getsignal(s) for s in (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)]
    with at_boundary(lambda: None):
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(s) for s in (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)] == before
    os.kill(os.getpid(), signal.SIGUSR2)
    assert events == ["handled"]


def test_a_signal_in_the_last_step_is_not_lost(events: list[str]) -> None:
    with at_boundary(lambda: events.append("saved")):
        os.kill(os.getpid(), signal.SIGUSR2)
        assert events == []
    assert events == ["handled"]


def test_an_error_in_a_step_keeps_its_signal(events: list[str]) -> None:
    with pytest.raises(ZeroDivisionError), at_boundary(lambda: events.append("saved")):
        os.kill(os.getpid(), signal.SIGUSR2)
        raise ZeroDivisionError
    assert events == ["handled"]


@pytest.mark.usefixtures("interruptible")
def test_control_c_interrupts_at_the_boundary() -> None:
    saved: list[int] = []
    with pytest.raises(KeyboardInterrupt), at_boundary(lambda: saved.append(1)) as boundary:
        os.kill(os.getpid(), signal.SIGINT)
        assert saved == []
        boundary()
    assert saved == [1]


@pytest.mark.parametrize("own", [True, False])
def test_a_signal_to_one_rank_ends_all_in_the_same_way(monkeypatch: pytest.MonkeyPatch, own: bool) -> None:
    monkeypatch.setattr(ranks, "count", lambda: 2)
    monkeypatch.setattr(ranks, "agreed", lambda *values: [float(signal.SIGHUP)])
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    saved: list[int] = []
    try:
        with pytest.raises(SystemExit) as stop, at_boundary(lambda: saved.append(1)) as boundary:
            if own:
                os.kill(os.getpid(), signal.SIGHUP)
            boundary()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert stop.value.code == 128 + signal.SIGHUP and saved == [1]


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with at_boundary(lambda: pytest.fail("saved")) as boundary:
            os.kill(os.getpid(), signal.SIGTERM)
            boundary()
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("interruptible")
def test_of_several_signals_submitits_is_first(events: list[str]) -> None:
    with pytest.raises(KeyboardInterrupt), at_boundary(lambda: events.append("saved")) as boundary:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGUSR2)
        boundary()
    assert events == ["saved", "handled"]


def test_another_thread_is_left_alone() -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with at_boundary(lambda: pytest.fail("saved")) as boundary:
                boundary()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []


SCRIPT = """
import os, signal, sys, torch
from pathlib import Path
from baselines.fm_ot import FlowMatchingOT
from bench.datasets.base import Dataset
from bench.networks.mlp import mlp
from bench.config.settings import Training
from bench.training.trainer import Trainer

torch.manual_seed(0)
data = torch.randn(64, 2)
settings = Training(steps=10**6, batch=8)
trainer = Trainer("r", settings, FlowMatchingOT(), mlp((2,), width=4, depth=1), Dataset("d", "1", data, data), 0)
take = trainer.take_step

def take_step():
    if trainer.step == 12:
        os.kill(os.getpid(), signal.Signals[sys.argv[2]])
        print("in the middle of step 12", flush=True)
    return take()

trainer.take_step = take_step
trainer.fit(Path(sys.argv[1]), lambda module: [], lambda text: None)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("warm_interpreters")
@pytest.mark.parametrize("name", ["SIGUSR2", "SIGTERM", "SIGHUP", "SIGXCPU"])
def test_training_saves_at_the_end_of_the_step_and_dies_of_the_signal(tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "c.pt"), name]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert ended.returncode == -signal.Signals[name], ended.stderr
    assert ended.stdout == "in the middle of step 12\n"
    state = torch.load(tmp_path / "c.pt", weights_only=True)
    assert state["step"] == 13


def test_a_handler_takes_what_is_not_ignored_and_gives_it_back() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM)}
    seen: list[int] = []
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    try:
        with handled(before, lambda number, frame: seen.append(number)):
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)
        assert seen == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is before[signal.SIGTERM]
    finally:
        signal.signal(signal.SIGHUP, before[signal.SIGHUP])
