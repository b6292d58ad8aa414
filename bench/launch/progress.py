"""What a launcher shows: on a terminal a live line for every active run, elsewhere one line an event."""

import time
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from bench.launch import Outcome


class Progress:
    """Context manager that shows `total` runs on their way, on standard output by default."""

    def __init__(self, total: int, console: Console | None = None) -> None:
        self.total, self.ended, self.failed = total, 0, 0
        self._console = console or Console(highlight=False)
        self._since = time.monotonic()
        self._lines: dict[str, tuple[str, float]] = {}
        self._live = Live(get_renderable=self._render, console=self._console, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, run_id: str, text: str) -> None:
        """Set the line of a run that is being worked on; its clock starts with the first one."""
        since = self._lines[run_id][1] if run_id in self._lines else time.monotonic()
        self._lines = {**self._lines, run_id: (text, since)}  # another one, as the display's thread reads it

    def hide(self, run_id: str) -> None:
        self._lines = {key: line for key, line in self._lines.items() if key != run_id}

    def end(self, outcome: Outcome) -> None:
        """Count a run that has ended, and say so."""
        self.hide(outcome.run_id)
        self.ended += 1
        self.failed += outcome.status == "failed"
        count = f"[{self.ended:>{len(str(self.total))}}/{self.total}]"
        line = Text(f"{count} ").append(outcome.status, "green" if outcome.status == "ok" else "bold red")
        line.append(f" {outcome.run_id} {outcome.seconds:.1f} s")
        self.say(line.append(f": {outcome.error}") if outcome.error else line)

    def say(self, message: str | Text) -> None:
        self._console.print(message, soft_wrap=True, markup=False)

    def _render(self) -> RenderableType:
        table = Table.grid(Column(no_wrap=True), Column(no_wrap=True, ratio=1), Column(justify="right"), padding=(0, 2))
        table.expand = True
        now = time.monotonic()
        for run_id, (text, since) in self._lines.items():
            table.add_row(Text(run_id, "cyan"), Text(text), _clock(now - since))
        done = self.ended - self.failed
        totals = f"{done} done, {self.failed} failed, {self.total - self.ended} left, {_clock(now - self._since)}"
        return Group(table, Text(totals, "bold"))


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
