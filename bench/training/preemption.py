"""A signal that asks a run to stop waits for the end of the training step, where a checkpoint is whole.

submitit installs handlers for a timeout and for preemption; this module puts itself in front of whatever Python handler
there is, and hands the signal on once the checkpoint is written. Where several ranks share the run, a signal to one of
them stops all at the same step.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from bench.training import ranks

# SIGHUP: the terminal is gone. SIGXCPU: a limit on CPU seconds is near (ulimit -St, or a batch system's).
SIGNALS = (signal.SIGUSR2, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU, signal.SIGINT)


@contextmanager
def handled(numbers: Iterable[signal.Signals], handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Within, the handler takes the signals that are neither ignored, as SIGHUP is under nohup, nor another language's.

    Only the main thread may set handlers; in another nothing changes.
    """
    main = threading.current_thread() is threading.main_thread()
    found = {number: signal.getsignal(number) for number in numbers if main}
    previous = {number: before for number, before in found.items() if before not in (None, signal.SIG_IGN)}
    for number in previous:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


@contextmanager
def at_boundary(save: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Hold the signals back; the yielded function, called between steps, saves and delivers one that has come."""
    if threading.current_thread() is not threading.main_thread():
        if ranks.count() > 1:
            raise RuntimeError("ranks agree in their main threads")
        yield lambda: None
        return
    pending: list[signal.Signals] = []
    previous = {number: signal.getsignal(number) for number in SIGNALS}

    def hold(number: int, _frame: FrameType | None) -> None:
        pending.append(signal.Signals(number))

    def deliver() -> None:
        # submitit's signal first: it puts the task back into the queue, and the others may end the process.
        arrived = sorted(set(pending), key=SIGNALS.index)
        pending.clear()
        for number in arrived:
            signal.signal(number, previous[number])
            os.kill(os.getpid(), number)

    def boundary() -> None:
        number = int(ranks.agreed(max(pending, default=0))[0])
        if not number:
            return
        save()
        if ranks.count() > 1 and previous[signal.Signals(number)] is signal.SIG_DFL:
            # Of a rank that dies of its signal the others would only see a lost connection.
            pending.clear()
            raise SystemExit(128 + number)
        deliver()

    try:
        with handled(SIGNALS, hold):
            yield boundary
    finally:
        deliver()
