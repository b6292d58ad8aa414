"""Standard output and error that may go away, be closed from the start or know no Greek: none of it ends a run.

`python run_all.py | head` closes the pipe after some lines, `>&-` begins without an output, a terminal hangs up, a disk
under a log is full. From then on what is said is dropped, and the work goes on to its end.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


class Lasting:
    """A text stream of which a write that fails is the last one that is tried."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._gone = False

    def write(self, text: str) -> int:
        self._unless_gone(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        self._unless_gone(self._stream.flush)

    def _unless_gone(self, act: Any, *arguments: str) -> None:
        if self._gone:
            return
        try:
            act(*arguments)
        except (OSError, ValueError):  # a ValueError: it is closed
            self._gone = True
            with suppress(OSError, ValueError):  # what is still buffered must go somewhere when Python ends
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def lasting() -> Iterator[None]:
    """Within, printing never fails, and no file that is opened gets the number of a standard stream that is closed."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest free number
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _lasting(sys.stdout), _lasting(sys.stderr)
    try:
        yield
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        sys.stdout, sys.stderr = before


def _lasting(stream: TextIO | None) -> Any:
    if stream is None:  # closed from the start
        return open(os.devnull, "w", encoding="utf-8", errors="replace")
    if reconfigure := getattr(stream, "reconfigure", None):
        with suppress(OSError, ValueError):
            reconfigure(errors="replace")
    return Lasting(stream)
