"""One run from start to end: its missing stages in order, each ending in one record.

A stage whose record is there is skipped, so calling a job again goes on where it stopped. Whatever goes wrong inside
becomes a failed record with its reason: a run never takes another one with it, nor a stage of the evaluation the next.
Where several ranks share the run the main one decides and writes; another one that fails leaves its reason in
RANK_ERROR for it, and the run ends there.
"""

import datetime
import os
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from bench.config.registry import load_plugin
from bench.config.settings import Stage
from bench.config.suite import Run
from bench.errors import UsageError, is_lost
from bench.evaluation.lost import cause, costs_a_part
from bench.evaluation.unfinished import clear_all
from bench.identity import source
from bench.launch import threads
from bench.launch.task import Task
from bench.records import tuned
from bench.records.aside import set_aside
from bench.records.disk import shortage
from bench.records.files import sweep
from bench.records.locks import locked
from bench.records.records import fail, read_stage, stands, write_stage
from bench.records.standing import Standing
from bench.training import ranks

if TYPE_CHECKING:
    from bench.evaluation.stages import Stages


class Job(Task):
    """A task, and how it is done."""

    def __call__(self, progress: Callable[[str], None] | None = None) -> str:
        """Run the missing stages: "ok", "failed" (a failed record says why) or "busy" (another process is at it).

        NoSpace if a disk is full.
        """
        log = self.log(progress)
        stages: Stages | None = None
        try:
            with ranks.joined(self.device, self.ranks), self.held() as free:
                if any(ranks.agreed(not free)):
                    return "busy"
                found = self.load()
                done = [bool(d) for d in ranks.agreed(*(found[s].state == "done" for s in self.run.stages))]
                if all(done):
                    return "ok"
                log = log if ranks.is_main() else lambda text: None
                stages = self.stages(found, log)
                missing = [s for s, d in zip(self.run.stages, done, strict=True) if not d]
                ended = "ok" if all([self._measure(stages, stage, log) for stage in missing]) else "failed"
                log(ended)
                return ended
        except Exception as error:
            log(traceback.format_exc())
            if full := shortage(error, self.folder):
                log(str(full))
                raise full from error  # it says nothing of the run, which goes on when there is room
            if self.ranks > 1:
                time.sleep(1)  # a rank ends within it if its worker was killed, whose end is the reason then
            reason = explain(error, self.run)
            if self.ranks > 1 and int(os.environ.get("RANK", "0")):
                traceback.print_exc()
                # The first is the cause: the others fail for losing it.
                with suppress(FileExistsError), self.rank_error.open("x", encoding="utf-8") as file:
                    file.write(reason)
                raise SystemExit(1) from error
            run = stages.run if stages else self.run
            fail(self.root, run, self.reason(reason), stages.facts() if stages and stages.trained else None)
            log(f"failed: {self.reason(reason)}")
            return "failed"

    def load(self) -> dict[Stage, Standing]:
        """Load the plugins; where the stages of the run stand by today's source."""
        for plugin in self.plugins:
            load_plugin(plugin)
        source.keep_up()
        return stands(self.root, self.run)

    def stages(self, found: Mapping[Stage, Standing], log: Callable[[str], None]) -> "Stages":
        """What its stages are done with, once the folder is swept, with the threads that the run has."""
        if ranks.is_main():
            self.rank_error.unlink(missing_ok=True)
            sweep(self.folder)
        if self.threads:
            begun = threads.kept(self.folder, self.threads) if ranks.is_main() else 0
            threads.use(int(ranks.agreed(begun)[0]))
        ranks.barrier()
        import bench.evaluation.stages

        if found["train"].state == "stale" and ranks.is_main():
            aside = ", ".join(set_aside(self.root, self.run))
            log(f"the training is stale ({found['train'].reason}); set aside: {aside}")
        ranks.barrier()
        return bench.evaluation.stages.Stages(self.tuned(log), log)

    def tuned(self, log: Callable[[str], None]) -> "Job":
        """The job of the run with the values that its trials choose; itself if nothing is tuned.

        UsageError if no trial has a value to choose by.
        """
        if not self.run.tune:
            return self
        choice = tuned.choice(self.root, self.run, partial(read_stage, self.root))
        log(str(choice))
        return replace(self, run=self.run.with_values(choice.to), choice=choice)

    def _measure(self, stages: "Stages", stage: Stage, log: Callable[[str], None]) -> bool:
        """Run a stage to its record; whether it has not failed."""
        log(stage)
        try:
            rows, arrays = stages.run_stage(stage)
        except Exception as error:
            # Without weights nothing is measured; and where others share the run, they may wait for this rank.
            if not stages.trained or self.ranks > 1 or not costs_a_part(error):
                raise
            log(traceback.format_exc())
            log(f"failed: {explain(error, self.run)}")
            write_stage(self.root, stages.run, stage, [], stages.facts(), error=explain(error, self.run)[:500])
            return False
        facts = stages.facts()
        if ranks.is_main():
            write_stage(self.root, stages.run, stage, rows, facts, arrays)
            # What is lost can be measured again without the rest.
            left = any(is_lost(row.reason) for row in rows)
            clear_all(self.folder, stage, but=stages.unfinished(stage).folder if left else None)
        return True

    def held(self) -> AbstractContextManager[bool]:
        """The lock of the run, which a worker has alone; whether it was free."""
        return locked(self.folder / "lock", wait=False) if ranks.is_main() else nullcontext(True)

    def log(self, progress: Callable[[str], None] | None) -> Callable[[str], None]:
        """Lines with the time into the run's log file, and the same text to whoever follows."""
        path = self.folder / "log.txt"

        def log(text: str) -> None:
            with suppress(OSError), path.open("a", encoding="utf-8") as file:  # no run hangs on its log
                file.write(f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")
            if progress:
                progress(text.strip().splitlines()[-1])

        return log


def explain(error: Exception, run: Run) -> str:
    """The reason of a failed record, in one line."""
    kind, message = cause(error)
    if kind == "out of memory":
        t = run.training
        return (
            f"out of memory: {run.baseline.name} with network {run.network.name} and training.micro_batch = "
            f"{t.micro_batch or t.batch} of batch {t.batch}; set a smaller training.micro_batch (the effective batch "
            "stays), network.checkpointing = true where the network has it, or training.shard_optimizer = true"
        )
    return message if isinstance(error, UsageError) or not kind else f"{kind}: {message}"
