"""`--cluster local`: the runs are worked on by processes of this machine, which share its cores and GPUs.

On a CPU there is a worker for every core, of one thread, because two workers of one thread do twice the small runs of
one worker of two threads; on CUDA there is one for every GPU, or for as many as share a run, and it sees no other.
"""

import os
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.launch import Outcome
from bench.launch.pool import Pool
from bench.launch.progress import Progress
from bench.launch.threads import variables
from bench.training.cores import SHARE, cores
from bench.training.preemption import handled

if TYPE_CHECKING:
    from bench.launch.job import Job

STOPS = (signal.SIGTERM, signal.SIGHUP)  # which end a launch as Ctrl-C does


def launch_local(jobs: Sequence["Job"], workers: int | None, device: str) -> list[Outcome]:
    """Run the jobs in `workers` processes of this machine, by default one per core or, for "cuda", per GPU, or as many
    of them as share a run; outcomes come in the order of the jobs.

    KeyboardInterrupt after Ctrl-C, SIGTERM or SIGHUP, once the workers have saved their checkpoints and ended; NoSpace
    if a disk is full, once they have ended: no run has failed for it.
    """
    environments = worker_environments(workers, device, len(jobs), max((job.ranks for job in jobs), default=1))
    with Progress(len(jobs)) as progress, handled(STOPS, signal.default_int_handler):
        pool = Pool(jobs, environments, progress)
        try:
            pool.work()
        except KeyboardInterrupt:
            try:
                progress.say("stopping: the runs save their checkpoints, the next launch resumes (again: kill)")
                pool.stop()
            except KeyboardInterrupt:  # wherever in these lines it comes
                pool.kill()
            raise
        finally:
            pool.stop()
    return [pool.outcomes[job.run.run_id] for job in jobs]


def worker_environments(workers: int | None, device: str, jobs: int, ranks: int = 1) -> list[dict[str, str]]:
    """Environment variables of every worker of its own: its threads, its share of the cores (of a rank, where a run has
    several) and, on CUDA, its GPU or those of its ranks.
    """
    gpus = usable_gpus() if device == "cuda" else []
    groups = [",".join(gpus[i : i + ranks]) for i in range(0, len(gpus) - ranks + 1, ranks)]
    count = min(workers or len(groups) or max(1, cores() // ranks), jobs)
    shared = variables(threads_of_a_rank(workers, device, ranks))
    shared[SHARE] = str(max(1, cores() // max(1, count * ranks)))
    return [shared | ({"CUDA_VISIBLE_DEVICES": groups[i % len(groups)]} if groups else {}) for i in range(count)]


def threads_of_a_rank(workers: int | None, device: str, ranks: int = 1) -> int:
    """Threads of each process of a run that begins, whatever other runs there are: one on the CPU, or its share of the
    cores if workers are counted.
    """
    if workers is None:
        if device != "cuda":
            return 1
        workers = len(usable_gpus()) // ranks
    return max(1, cores() // max(1, workers * ranks))


def usable_gpus() -> list[str]:
    """Names of the GPUs, as CUDA_VISIBLE_DEVICES takes them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        import torch

        return [str(i) for i in range(torch.cuda.device_count())]
    return [gpu.strip() for gpu in visible.split(",") if gpu.strip() not in ("", "-1")]
