"""`--cluster slurm`: the runs become one submitit array, a task a run, and the command returns.

A task that reaches its time limit or is preempted goes back into the queue and resumes from its checkpoint:
Slurm sends SIGUSR2 beforehand, training saves (`bench.training.preemption`), and submitit requeues what has a method
`checkpoint`. A node needs no network and nothing of the submitting process.
"""

import math
import os
import secrets
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.config.names import safe_name
from bench.config.suite import Run
from bench.errors import HalfSubmitted, UsageError
from bench.identity import source
from bench.launch.headway import headway
from bench.launch.needs import waves
from bench.launch.queue import Submission, collect, require
from bench.launch.surroundings import applied, environment, interpreter
from bench.launch.threads import VARIABLES
from bench.records import records
from bench.records.files import write_bytes
from bench.records.locks import locked

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

    from bench.launch.job import Job

BUSY = 10.0  # seconds between two looks at a run that another process holds
FRUITLESS = 2  # time limits in a row without any progress after which a run is given up
SITE = ("partition", "account", "qos", "reservation", "constraint")
OURS = (
    *("partition", "time", "array", "output", "error", "signal"),
    *("nodes", "ntasks-per-node", "gpus-per-node", "cpus-per-task"),
)


@dataclass(frozen=True)
class SlurmOptions:
    """What one task asks of the cluster.

    Attributes:
        partition: None takes the cluster's default.
        gpus: GPUs of a run on each of its nodes, one rank each.
        nodes: nodes of a run.
        cpus: cores of a rank, and the threads of its tensor operations.
        hours: time limit, after which a task is requeued and resumes.
        max_parallel: tasks that run at once; None leaves it to the cluster.
        extra: further parameters of sbatch, such as {"account": "lab", "mem": "16G"}; "" for a mere flag.
    """

    partition: str | None = None
    gpus: int = 0
    cpus: int = 1
    hours: float = 24.0
    max_parallel: int | None = None
    nodes: int = 1
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def ranks_per_node(self) -> int:
        return max(1, self.gpus)

    def __post_init__(self) -> None:
        if not (self.hours > 0 and math.isfinite(self.hours)):
            raise UsageError(f"hours: {self.hours} is no time limit; give a number above 0")
        for name, value, least in (("gpus", self.gpus, 0), ("nodes", self.nodes, 1), ("cpus", self.cpus, 1)):
            if value < least:
                raise UsageError(f"{name}: {value} is too few; give {least} or more")
        if self.max_parallel is not None and self.max_parallel < 1:
            raise UsageError(f"max_parallel: {self.max_parallel} is too few; give 1 or more")
        for key in self.extra:
            if key.replace("_", "-").lstrip("-") in OURS:
                raise UsageError(f"extra parameter {key!r} is set by the harness ({', '.join(OURS)} are)")


class Task:
    """The callable of one array task, or of each of its ranks: a job, requeued as often as its time limit needs but not
    in vain.

    A single step or batch that is longer than the time limit would be requeued for ever: after `FRUITLESS` limits in a
    row without a new record, checkpoint or part of a stage the run fails.
    """

    def __init__(self, job: "Job", seconds: float, fruitless: int = 0) -> None:
        self.job = job
        self.seconds = seconds
        self.fruitless = fruitless

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
        if fruitless == FRUITLESS:
            hours = f"{self.seconds / 3600:g}"
            error = f"no progress in {FRUITLESS} time limits of {hours} hours; give a higher --hours"
            records.fail(self.job.root, self.job.run, error)
            raise SystemExit(error)
        return DelayedSubmission(Task(self.job, self.seconds, fruitless))


def submit(jobs: Sequence["Job"], options: SlurmOptions, root: Path) -> list[str]:
    """Queue the jobs that are not in the queue; ids of their Slurm jobs ("12_0", "12_1", ...).

    The caller has decided that they are to be done: a job that is stale, or whose teacher is to be another one, too.

    More runs than the cluster takes in one array become several; with `max_parallel` one waits for the other. Runs that
    need others come in an array of their own, which waits for the tasks of those.

    Raises:
        UsageError: no Slurm here, or what sbatch refused, in its own words; nothing was submitted.
        HalfSubmitted: some arrays were, and are followed; the next was refused.
    """
    require("sbatch")
    if "%" in str(root) or "\\" in str(root):
        raise UsageError(f"--results: Slurm reads % and \\ in {root} as patterns of its own; give a path without them")
    with locked(root / ".slurm.lock"):
        states = collect(root, [job.run for job in jobs])
        queued = {i: str(state.job) for i, state in states.items() if state.status in ("queued", "running")}
        new = {job.run.run_id: job for job in jobs if job.run.run_id not in queued}
        arrays = [array for wave in waves([job.run for job in new.values()]) for array in _arrays(wave)]
        ids: list[str] = []
        for array in arrays:
            after = {job for run in array for need in run.needs if (job := queued.get(need))}
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


def _arrays(wave: list[Run]) -> list[list[Run]]:
    """A wave in parts that the cluster takes as arrays."""
    size = _max_array_size()
    return [wave[start : start + size] for start in range(0, len(wave), size)]


def _submit_array(jobs: Sequence["Job"], options: SlurmOptions, root: Path, after: list[str]) -> list[str]:
    from submitit import SlurmExecutor
    from submitit.core.utils import FailedJobError

    name = f"{safe_name(root.name)}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    minutes = math.ceil(options.hours * 60)
    # The guard in Task ends what gets nowhere, so submitit need not count.
    executor = SlurmExecutor(root / "slurm" / name, max_num_timeout=10**6)
    executor.update_parameters(**_parameters(options, name, minutes, len(jobs), after))
    failures = [failure for job in jobs for failure in records.forget_failure(root, job.run).items()]
    try:
        with applied():
            submitted = executor.submit_array([Task(job, minutes * 60) for job in jobs])
    except FailedJobError as error:
        for path, record in failures:
            write_bytes(path, record)
        raise UsageError(" ".join(str(error).split())) from error
    for job, slurm_job in zip(jobs, submitted, strict=True):
        log = os.path.relpath(slurm_job.paths.stderr, root)
        Submission(slurm_job.job_id, name, log).write(root, job.run)
    return [slurm_job.job_id for slurm_job in submitted]


def _parameters(options: SlurmOptions, name: str, minutes: int, tasks: int, after: list[str]) -> dict[str, Any]:
    """The options in submitit's names."""
    # What people set once for all their jobs; sbatch would put its variables before the options of the command.
    site = {key: os.environ[f"SBATCH_{key.upper()}"] for key in SITE if f"SBATCH_{key.upper()}" in os.environ}
    partition = options.partition or site.get("partition")
    site.pop("partition", None)
    flags = site | {key: value or True for key, value in options.extra.items()}
    environment = dict.fromkeys(VARIABLES, str(options.cpus)) | interpreter()
    return {
        "job_name": name,
        "partition": partition,
        "time": minutes,
        "nodes": options.nodes,
        "ntasks_per_node": options.ranks_per_node,
        "cpus_per_task": options.cpus,
        "gpus_per_node": options.gpus or None,
        "array_parallelism": options.max_parallel or tasks,
        "dependency": f"afterany:{':'.join(after)}" if after else None,
        "signal_delay_s": min(120, minutes * 60 // 4),
        "wckey": None,
        "setup": [f"export {name}={shlex.quote(value)}" for name, value in environment.items()],
        # Since 22.05 srun no longer takes the cores of a task over from sbatch.
        "srun_args": [f"--cpus-per-task={options.cpus}", "--kill-on-bad-exit=1"],
        "additional_parameters": {"requeue": True} | flags,
    }


def _max_array_size() -> int:
    """Tasks that the cluster takes in one array."""
    config = subprocess.run(
        ["scontrol", "show", "config"], env=environment(), capture_output=True, encoding="utf-8", errors="replace"
    ).stdout
    sizes = [line.split("=")[1] for line in config.splitlines() if line.startswith("MaxArraySize")]
    return int(sizes[0]) if sizes else 1001
