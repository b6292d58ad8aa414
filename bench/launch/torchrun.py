"""A run that several GPUs of this machine share: torchrun starts a process for each, and one failing ends them all.

A worker calls `run` with the job; each rank is this module as a program. On a CPU the ranks are processes that share
its cores, which is slower than one and there to try things out.
"""

import pickle
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from bench import records

if TYPE_CHECKING:
    from bench.job import Job


def run(job: "Job") -> str:
    """Run the job in `job.ranks` processes: "ok", "failed" or "busy".

    Raises:
        RuntimeError: the ranks ended without a record that says why.
        SystemExit: SIGTERM came; the ranks have saved a checkpoint.
    """
    stopped = False
    with tempfile.TemporaryDirectory() as folder:
        job_file, status_file = Path(folder) / "job", Path(folder) / "status"
        job_file.write_bytes(pickle.dumps(job))
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={job.ranks}"]
        module = ["-m", "bench.launch.torchrun", str(job_file), str(status_file)]
        process = subprocess.Popen([sys.executable, *torchrun, *module])

        def stop(number: int, _frame: FrameType | None) -> None:
            nonlocal stopped
            stopped = True
            process.terminate()

        before = signal.signal(signal.SIGTERM, stop)
        try:
            code = process.wait()
        finally:
            signal.signal(signal.SIGTERM, before)
        status = status_file.read_text() if status_file.exists() else ""
    if stopped:
        raise SystemExit(128 + signal.SIGTERM)
    if not status and records.failed(job.root, job.run) is None:
        raise RuntimeError(job.reason(f"torchrun ended with status {code}"))
    return status or "failed"


def main(job_file: str, status_file: str) -> int:
    """One rank; the main one leaves the job's status behind."""
    job = pickle.loads(Path(job_file).read_bytes())
    status = job()
    from bench import ranks

    if ranks.is_main():
        Path(status_file).write_text(status)
    return 1 if status == "failed" else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
