"""Seeds of one variant whose trainings a worker does together (bench/training/stack.py).

Only the training is shared, to the checkpoints of single runs. Then each is a job by itself, which finds its training
at the end, writes its records and is evaluated; so is a run that has left the stack, or was never fit for one, from
where its checkpoint is. So nothing that befalls a stack fails a run: it ends as it would have alone.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from bench.config.suite import Run
from bench.errors import Unstackable, one_line

if TYPE_CHECKING:
    from bench.evaluation.stages import Stages
    from bench.launch.job import Job

APART = "apart"  # the status of what goes on as jobs by themselves
MOST = 8  # runs of a stack
GAIN = 1.5  # the least by which runs of a stack are trained sooner on one core


@dataclass(frozen=True)
class Together:
    """Jobs of one variant, before each is done by itself."""

    jobs: tuple["Job", ...]
    ranks: ClassVar[int] = 1

    @property
    def run(self) -> Run:
        """One of them, for what they have in common."""
        return self.jobs[0].run

    @property
    def folder(self) -> Path:
        return self.jobs[0].folder

    @property
    def name(self) -> str:
        return f"{self.run.variant}, {len(self.jobs)} seeds"

    def __call__(self, progress: Callable[[str], None] | None = None) -> str:
        """Train them, those together that can be, and leave the rest to each job: APART."""
        with ExitStack() as held:
            try:
                self._fits()
            except Exception as why:  # whatever is wrong with a run, its own job meets it again and says it
                self.jobs[0].log(progress)(f"not trained with other seeds: {_said(why)}")
                return APART
            begun = [stages for job in self.jobs if (stages := _begun(job, held, progress))]
            self._train(begun)
        return APART

    def _fits(self) -> None:
        """Unstackable if no two are to be trained, or what they have in common is not for a stack: little is built."""
        from bench.config import components
        from bench.training.build import build
        from bench.training.stack_check import suits

        if sum(job.load()["train"].state != "done" for job in self.jobs) < 2:
            raise Unstackable("no two of them are to be trained")
        job, run = self.jobs[0], self.run
        dataset = components.build_dataset(run.dataset, job.data_dir, run.seed)
        module, _ = build(run, dataset, job.root, job.data_dir)
        suits(cast(Any, module.method), module, dataset, run.training, job.device)

    def _train(self, begun: "Sequence[Stages]") -> None:
        from bench.evaluation.unfinished import clear_all
        from bench.training.stack import Member, Stack
        from bench.training.stack_check import check
        from bench.training.watch import NOBODY

        members = [
            Member(stages.trainer, stages.checkpoint, stages.validate, stages.log, stages.watching or NOBODY)
            for stages in begun
        ]
        try:
            check([member.trainer for member in members])
            for stages in begun:
                stages.prepare_judges()
                clear_all(stages.task.folder)
                stages.log(f"train, in a stack of {len(begun)} seeds")
            Stack(members).train()
        except Exception as why:
            for stages in begun:
                stages.log(f"not trained with other seeds: {_said(why)}")


def _said(why: Exception) -> str:
    return str(why) if isinstance(why, Unstackable) else one_line(why)


def _begun(job: "Job", held: ExitStack, progress: Callable[[str], None] | None) -> "Stages | None":
    """The stages of a run that is to be trained, whose lock is held then; None for any other."""
    try:
        if not held.enter_context(job.held()):
            return None
        found = job.load()
        if found["train"].state == "done":
            return None
        stages = job.stages(found, job.log(progress))
    except Exception:  # which its own job meets again
        return None
    return None if stages.trained else stages


def grouped(jobs: "Sequence[Job]", workers: int) -> "list[Job | Together]":
    """The jobs, with seeds of one variant together if that is no slower, in the order of the first of them."""
    sets: dict[str, list[Job]] = {}
    for job in jobs:
        sets.setdefault(job.run.variant if _may_stack(job) else job.run.run_id, []).append(job)
    several = [group for group in sets.values() if len(group) > 1]
    alone = math.ceil(sum(map(len, several)) / max(1, workers))
    stacks = [part for group in several for part in _parts(group)]
    together = math.ceil(len(stacks) / max(1, workers)) * max(map(len, stacks), default=0) / GAIN
    if together > alone:
        return list(jobs)
    found: list[Job | Together] = []
    for group in sets.values():
        found += map(Together, _parts(group)) if len(group) > 1 else group
    return found


def _parts(jobs: "Sequence[Job]") -> "list[tuple[Job, ...]]":
    """As few parts of MOST at most as there can be, of about one size."""
    count = math.ceil(len(jobs) / MOST)
    return [tuple(jobs[i::count]) for i in range(count)]


def _may_stack(job: "Job") -> bool:
    """Whether nothing that is known before a network is built speaks against it."""
    t = job.run.training
    return t.stack and not (t.weights or t.seconds or t.compile or job.run.teachers) and job.ranks == t.pieces == 1
