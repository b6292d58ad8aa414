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

from bench import records
from bench.launch.worker import GRACE
from bench.locks import locked

if TYPE_CHECKING:
    from bench.job import Job


def run(job: "Job") -> str:
    """Run the job in `job.ranks` processes: "ok", "failed" (a failed record says why) or "busy".

    Raises:
        SystemExit: SIGTERM came; the ranks have saved a checkpoint.
    """
    stopped = False
    job.rank_error.unlink(missing_ok=True)  # of an earlier attempt
    with tempfile.TemporaryDirectory() as folder, locked(Path(folder) / "alive"):
        (Path(folder) / "job").write_bytes(pickle.dumps(job))
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={job.ranks}"]
        module = ["-m", "bench.launch.torchrun", folder]
        # The folder that a rank starts in may hold modules of the same names.
        environment = {"PYTHONSAFEPATH": "1", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": f"{GRACE:.0f}"}
        process = subprocess.Popen([sys.executable, *torchrun, *module], env=os.environ | environment)

        def stop(number: int, _frame: FrameType | None) -> None:
            nonlocal stopped
            stopped = True
            process.terminate()

        before = signal.signal(signal.SIGTERM, stop)
        try:
            code = process.wait()
        finally:
            signal.signal(signal.SIGTERM, before)
        said = Path(folder) / "status"
        status = said.read_text(encoding="utf-8") if said.exists() else "failed"
    if stopped:
        raise SystemExit(128 + signal.SIGTERM)
    if records.finished(job.root, job.run):
        return "ok"  # however its ranks ended afterwards
    if status == "failed" and records.failed(job.root, job.run) is None:
        records.fail(job.root, job.run, job.reason(f"torchrun ended with status {code}"))
    return status


def main(folder: str) -> int:
    """One rank; the main one leaves the job's status behind."""
    threading.Thread(target=_end_with_the_worker, args=(Path(folder),), daemon=True).start()
    job = pickle.loads((Path(folder) / "job").read_bytes())
    status = job()
    from bench import ranks

    if ranks.is_main():
        (Path(folder) / "status").write_text(status, encoding="utf-8")
    return 1 if status == "failed" else 0


def _end_with_the_worker(folder: Path) -> None:
    """A worker that is killed cannot stop its ranks, but it frees its lock."""
    with locked(folder / "alive"):
        os._exit(1)


if __name__ == "__main__":
    ended = main(*sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(ended)  # torch's threads now and then abort a process that ends in the ordinary way
