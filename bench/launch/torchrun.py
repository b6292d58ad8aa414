"""A run that several GPUs of this machine share: torchrun starts a process for each, and one failing ends them all.

A worker calls `run` with the job; each rank is this module as a program. On a CPU the ranks are processes that share
its cores, which is slower than one and there to try things out.
"""

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from bench.identity import source
from bench.launch import GRACE
from bench.launch.surroundings import environment
from bench.records import records
from bench.records.disk import NoSpace
from bench.records.locks import locked
from bench.training import ranks
from bench.training.preemption import SIGNALS, handled

if TYPE_CHECKING:
    from bench.launch.job import Job

# How the main rank says that it ended, each with what is to be known of it.
FULL = "full: "
STOPPED = "stopped: "


def run(job: "Job") -> str:
    """Run the job in `job.ranks` processes: "ok", "failed" (a failed record says why) or "busy".

    SystemExit if a signal to stop came, to this process or to a rank; the ranks have saved a checkpoint. NoSpace if a
    disk is full.
    """
    stopped: signal.Signals | None = None
    job.rank_error.unlink(missing_ok=True)  # of an earlier attempt
    with tempfile.TemporaryDirectory() as folder, locked(Path(folder) / "alive"):
        (Path(folder) / "job").write_bytes(pickle.dumps(job))
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={job.ranks}"]
        module = ["-m", "bench.launch.torchrun", folder]
        # The folder that a rank starts in may hold modules of the same names.
        own = {"PYTHONSAFEPATH": "1", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": f"{GRACE:.0f}"}
        process = subprocess.Popen([sys.executable, *torchrun, *module], env=environment() | own)

        def stop(number: int, _frame: FrameType | None) -> None:
            nonlocal stopped
            stopped = signal.Signals(number)
            process.terminate()

        with handled(SIGNALS, stop):
            code = process.wait()
        answer = Path(folder) / "status"
        status = answer.read_text(encoding="utf-8") if answer.exists() else "failed"
    if stopped:
        raise SystemExit(128 + stopped)
    if status.startswith(FULL):
        raise NoSpace(status.removeprefix(FULL))
    if status.startswith(STOPPED):
        raise SystemExit(int(status.removeprefix(STOPPED)))
    if records.finished(job.root, job.run):
        return "ok"  # however its ranks ended afterwards
    if status == "failed" and records.failed(job.root, job.run) is None:
        records.fail(job.root, job.run, job.reason(f"torchrun ended with status {code}"))
    return status


def main(folder: str) -> int:
    """One rank; the main one leaves the job's status behind."""
    threading.Thread(target=_end_with_the_worker, args=(Path(folder),), daemon=True).start()
    source.freeze()
    job = pickle.loads((Path(folder) / "job").read_bytes())
    try:
        status = job()
    except NoSpace as error:
        status = f"{FULL}{error}"
    except SystemExit as stop:
        if not isinstance(stop.code, int) or stop.code < 128:
            raise
        status = f"{STOPPED}{stop.code}"
    if ranks.is_main():
        (Path(folder) / "status").write_text(status, encoding="utf-8")
    return 0 if status in ("ok", "busy") else 1


def _end_with_the_worker(folder: Path) -> None:
    """A worker that is killed cannot stop its ranks, but it frees its lock."""
    with locked(folder / "alive"):
        os._exit(1)


if __name__ == "__main__":
    ranks.end(main(*sys.argv[1:]))
