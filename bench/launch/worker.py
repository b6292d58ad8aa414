"""A worker process: it receives jobs over a pipe, runs them one after another and answers.

It stays alive between runs because importing torch and diffusers takes longer than many a small run. Nothing
heavy is imported here: a job arrives as bytes, and unpickling it imports what it needs.

Messages to the pool: ("ready", None), ("text", progress) and ("done", (status, error)), where "full" is a full disk.
When the pipe closes, the launcher is gone, however it ended: the worker asks itself to stop, and a training run saves a
checkpoint.
"""

import os
import pickle
import signal
import sys
import tempfile
import threading
import time
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue

from bench.errors import one_line
from bench.identity import source
from bench.launch import GRACE, torchrun
from bench.records import records
from bench.records.disk import shortage

PULSE = 0.2  # seconds between two progress texts


def serve(descriptor: int) -> None:
    """Run the jobs that arrive over the pipe until it closes."""
    pipe = Connection(descriptor)
    inbox: SimpleQueue[tuple[str, bytes]] = SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, inbox), daemon=True).start()
    source.freeze()
    _send(pipe, "ready", None)
    while True:
        log, job = inbox.get()
        _redirect_output(log)
        _send(pipe, "done", _run(pipe, job))


def _receive(pipe: Connection, inbox: SimpleQueue[tuple[str, bytes]]) -> None:
    try:
        while True:
            inbox.put(pipe.recv())
    except (EOFError, OSError):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        time.sleep(GRACE)
        os._exit(1)


def _run(pipe: Connection, pickled: bytes) -> tuple[str, str | None]:
    """Status of the job and, if it failed, its error; a job that cannot even be loaded has failed too."""
    last = 0.0

    def progress(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= PULSE:
            last = time.monotonic()
            _send(pipe, "text", text)

    try:
        job = pickle.loads(pickled)
        status = torchrun.run(job) if job.ranks > 1 else job(progress)
        if status != "failed":
            return status, None
        return status, records.failed(job.root, job.run) or "no record says why"
    except Exception as error:
        if full := shortage(error, Path(tempfile.gettempdir())):
            return "full", str(full)
        with suppress(OSError):
            traceback.print_exc()
        return "crashed", one_line(error)


def _send(pipe: Connection, kind: str, content: object) -> None:
    with suppress(OSError):  # the launcher is gone: _receive sees it too, and acts
        pipe.send((kind, content))


def _redirect_output(log: str) -> None:
    """Whatever a library prints belongs to the run, and must not run across the launcher's display."""
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    try:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError:  # another user's, or a full disk: a run does not hang on its log
        file = os.open(os.devnull, os.O_WRONLY)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
