"""What a terminal and a log file get to see."""

import io
import time

from rich.console import Console

from bench.launch import Outcome
from bench.launch.progress import Progress


def shown(progress: Progress, width: int = 100) -> list[str]:
    """The live display as text."""
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(progress._render())
    return console.export_text().splitlines()


def test_a_log_file_gets_one_line_an_event():
    file = io.StringIO()
    with Progress(12, Console(file=file, width=40)) as progress:
        progress.show("checkerboard-fm_ot-3f2a9c-s0", "train 1/2")
        progress.end(Outcome("checkerboard-fm_ot-3f2a9c-s0", "ok", 14.23))
        progress.end(Outcome("b", "failed", 0.5, "[red] is no markup: " + 100 * "x"))
        progress.say("c waits")
    assert file.getvalue().splitlines() == [
        "[ 1/12] ok checkerboard-fm_ot-3f2a9c-s0 14.2 s",
        "[ 2/12] failed b 0.5 s: [red] is no markup: " + 100 * "x",
        "c waits",
    ]


def test_a_terminal_gets_a_line_a_run_and_the_totals(monkeypatch):
    now = 1000.0  # whole: a fraction would round down now and then
    monkeypatch.setattr(time, "monotonic", lambda: now)
    progress = Progress(4, Console(file=io.StringIO(), force_terminal=True))
    with progress:
        now += 3600
        progress.show("run-a", "starting")
        now += 61
        progress.show("run-a", "train 1200/3000 loss 0.81")
        progress.show("run-b", "likelihood " + 200 * "x")
        progress.end(Outcome("run-c", "failed", 1.0, "why"))
        progress.end(Outcome("run-d", "ok", 1.0))
        first, second, totals = shown(progress)
        progress.hide("run-b")
        assert len(shown(progress)) == 2
    assert first.split() == ["run-a", "train", "1200/3000", "loss", "0.81", "0:01:01"]
    assert second.startswith("run-b") and second.endswith("0:00:00") and len(second) == 100
    assert totals.strip() == "1 done, 1 failed, 2 left, 1:01:01"
