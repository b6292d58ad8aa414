"""`--cluster slurm`: the runs become one submitit array, a task a run, and the command returns.

A task that reaches its time limit or is preempted goes back into the queue and resumes from its checkpoint:
Slurm sends SIGUSR2 beforehand, training saves (`bench.training.preemption`), and submitit requeues what has a method
`checkpoint`. A node needs no network and nothing of the submitting process.
"""

import math
import os
import secrets
import shlex
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator

from bench.config.names import safe_name
from bench.config.settings import Frozen, Positive, Rate
from bench.errors import HalfSubmitted, UsageError
from bench.identity import source
from bench.launch import threads
from bench.launch.asking import ask, require
from bench.launch.headway import headway
from bench.launch.needs import waves
from bench.launch.queue import Submission, asked, collect
from bench.launch.surroundings import applied, interpreter
from bench.records import records
from bench.records.files import write_bytes
from bench.records.locks import locked
from bench.records.retries import forget_failure

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

    from bench.launch.job import Job

BUSY = 10.0  # seconds between two looks at a run that another process holds
LIMITS = 2  # time limits in a row without any progress after which a run is given up
MANY = 50  # tasks of one array that are waited for one by one
SITE = ("partition", "account", "qos", "reservation", "constraint")
OURS = (
    *("partition", "time", "array", "output", "error", "signal"),
    *("nodes", "ntasks-per-node", "gpus-per-node", "cpus-per-task"),
)


class SlurmOptions(Frozen):
    """What one task asks of the cluster.

    `gpus` are those of a run on each of its `nodes`, one rank each; `cpus` are the cores of a rank, and the threads of
    its tensor operations; `hours` is the time limit, after which a task is requeued and resumes; `max_parallel` tasks
    run at once; `extra` are further parameters of sbatch, such as {"account": "lab", "mem": "16G"}, "" for a mere flag.
    """

    partition: str | None = None
    gpus: Annotated[int, Field(ge=0)] = 0
    cpus: Positive = 1
    hours: Rate = 24.0
    max_parallel: Positive | None = None
    nodes: Positive = 1
    extra: dict[str, str] = Field({})

    @field_validator("extra")
    @classmethod
    def _is_not_ours(cls, extra: dict[str, str]) -> dict[str, str]:
        for key in extra:
            if key.replace("_", "-").lstrip("-") in OURS:
                raise ValueError(f"{key!r} is set by the harness ({', '.join(OURS)} are)")
        return extra


class ArrayTask:
    """The callable of one array task, or of each of its ranks: a job, requeued as often as its time limit needs but not
    in vain.

    A single step or batch that is longer than the time limit would be requeued for ever: after `LIMITS` in a row
    without a new record, checkpoint or part of a stage the run fails.
    """

    def __init__(self, job: "Job", seconds: float, fruitless: int = 0) -> None:
        self.job, self.seconds, self.fruitless = job, seconds, fruitless

    def __call__(self) -> str:
        if "SLURM_JOB_ID" in os.environ:
            source.freeze()
        self._since, self._before = time.monotonic(), headway(self.job)
        if self.job.ranks > 1:
            from submitit.helpers import TorchDistributedEnvironment

            TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
        while (status := self.job()) == "busy":
            time.sleep(BUSY)
        if status == "failed" and self.job.ranks > 1:
            raise SystemExit(1)  # ends the other ranks too
        return status

    def checkpoint(self) -> "DelayedSubmission":
        """What submitit queues in place of this task; SystemExit if it is of no use."""
        from submitit.helpers import DelayedSubmission

        whole_limit = time.monotonic() - self._since > self.seconds / 2
        fruitless = self.fruitless + 1 if whole_limit and headway(self.job) == self._before else 0
        if fruitless == LIMITS:
            error = f"no progress in {LIMITS} time limits of {self.seconds / 3600:g} hours; give a higher --hours"
            records.fail(self.job.root, self.job.run, error)
            raise SystemExit(error)
        return DelayedSubmission(ArrayTask(self.job, self.seconds, fruitless))


def submit(jobs: Sequence["Job"], options: SlurmOptions, root: Path) -> list[str]:
    """Queue the jobs that are not in the queue, whatever their records; ids of their Slurm jobs ("12_0", "12_1", ...).

    More runs than the cluster takes in one array become several; with `max_parallel` one waits for the other. Runs that
    need others come in an array of their own, which waits for the tasks of those. UsageError if there is no Slurm here,
    or in the words of sbatch, if it refused; HalfSubmitted if it took some arrays, which are followed.
    """
    require("sbatch")
    if "%" in str(root) or "\\" in str(root):
        raise UsageError(f"--results: Slurm reads % and \\ in {root} as patterns of its own; give a path without them")
    with locked(root / ".slurm.lock"):
        states = collect(root, [job.run for job in jobs])
        queued = {i: str(state.job) for i, state in states.items() if state.status in ("queued", "running")}
        new = {job.run.run_id: job for job in jobs if job.run.run_id not in queued}
        size, ids = _max_array_size(), list[str]()
        planned = waves([job.run for job in new.values()])
        arrays = [wave[start : start + size] for wave in planned for start in range(0, len(wave), size)]
        for array in arrays:
            after = _shortest({job for run in array for need in run.needs if (job := queued.get(need))})
            if ids and options.max_parallel:
                after.add(ids[-1].split("_")[0])
            try:
                mine = _submit_array([new[run.run_id] for run in array], options, root, sorted(after))
            except (UsageError, OSError) as error:
                if not ids:
                    raise
                left = len(new) - len(ids)
                raise HalfSubmitted(f"the next {left} tasks were not submitted: {error}", ids) from error
            queued |= zip((run.run_id for run in array), mine, strict=True)
            ids += mine
        return ids


def _shortest(tasks: set[str]) -> set[str]:
    """The tasks, or the whole array in the place of MANY of one: runs that are tuned may need hundreds of trials."""
    counts = Counter(task.partition("_")[0] for task in tasks)
    return {array if counts[array := task.partition("_")[0]] > MANY else task for task in tasks}


def _submit_array(jobs: Sequence["Job"], options: SlurmOptions, root: Path, after: list[str]) -> list[str]:
    from submitit import SlurmExecutor
    from submitit.core.utils import FailedJobError

    name = f"{safe_name(root.name)}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    minutes = math.ceil(options.hours * 60)
    # The guard in ArrayTask ends what gets nowhere, so submitit need not count.
    executor = SlurmExecutor(root / "slurm" / name, max_num_timeout=10**6)
    executor.update_parameters(**_parameters(options, name, minutes, len(jobs), after))
    failures = [failure for job in jobs for failure in forget_failure(root, job.run).items()]
    when = records.timestamp()
    try:
        with applied():
            submitted = executor.submit_array([ArrayTask(job, minutes * 60) for job in jobs])
    except FailedJobError as error:
        for path, record in failures:
            write_bytes(path, record)
        raise UsageError(" ".join(str(error).split())) from error
    for job, slurm_job in zip(jobs, submitted, strict=True):
        log = os.path.relpath(slurm_job.paths.stderr, root)
        Submission(slurm_job.job_id, name, log, asked(job.run), when).write(root, job.run)
    return [slurm_job.job_id for slurm_job in submitted]


def _parameters(options: SlurmOptions, name: str, minutes: int, tasks: int, after: list[str]) -> dict[str, Any]:
    """The options in submitit's names."""
    # What people set once for all their jobs; sbatch would put its variables before the options of the command.
    site = {key: os.environ[f"SBATCH_{key.upper()}"] for key in SITE if f"SBATCH_{key.upper()}" in os.environ}
    partition = site.pop("partition", None)
    variables = threads.variables(options.cpus) | interpreter()
    return {
        "job_name": name,
        "partition": options.partition or partition,
        "time": minutes,
        "nodes": options.nodes,
        "ntasks_per_node": max(1, options.gpus),
        "cpus_per_task": options.cpus,
        "gpus_per_node": options.gpus or None,
        "array_parallelism": options.max_parallel or tasks,
        "dependency": f"afterany:{':'.join(after)}" if after else None,
        "signal_delay_s": min(120, minutes * 60 // 4),
        "wckey": None,
        "setup": [f"export {name}={shlex.quote(value)}" for name, value in variables.items()],
        # Since 22.05 srun no longer takes the cores of a task over from sbatch.
        "srun_args": [f"--cpus-per-task={options.cpus}", "--kill-on-bad-exit=1"],
        "additional_parameters": {"requeue": True, **site, **{k: v or True for k, v in options.extra.items()}},
    }


def _max_array_size() -> int:
    """Tasks that the cluster takes in one array."""
    lines = ask("scontrol", "show", "config").stdout.splitlines()
    return next((int(line.split("=")[1]) for line in lines if line.startswith("MaxArraySize")), 1001)
