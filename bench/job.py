"""One run from start to end: its missing stages in order, each ending in one record.

A stage whose record is there is skipped, so calling a job again goes on where it stopped. Whatever goes wrong inside
becomes a failed record with its reason: a run never takes another one with it.
"""

import datetime
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.files import locked
from bench.records import fail, finished, run_folder, stage_done, write_stage
from bench.suite import Run

Report = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """A run with where its records go, where data is, what it runs on, and the plugins it needs."""

    run: Run
    root: Path
    data_dir: Path
    device: str = "cpu"
    plugins: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return run_folder(self.root, self.run.run_id)

    def __call__(self, progress: Report | None = None) -> str:
        """Run the missing stages: "ok", "failed" (a failed record says why) or "busy" (another process is at it)."""
        with locked(self.folder / "lock", wait=False) as mine:
            if not mine:
                return "busy"
            if finished(self.root, self.run):
                return "ok"
            log = _log(self.folder / "log.txt", progress)
            facts = None
            try:
                from bench.stages import Stages

                stages = Stages(self, log)
                for stage in self.run.stages:
                    if not stage_done(self.root, self.run, stage):
                        log(stage)
                        rows, arrays = getattr(stages, stage)()
                        facts = stages.facts()
                        write_stage(self.root, self.run, stage, rows, facts, arrays)
                log("ok")
                return "ok"
            except Exception as error:
                log(traceback.format_exc())
                reason = explain(error, self.run)
                fail(self.root, self.run, reason, facts)
                log(f"failed: {reason}")
                return "failed"


def explain(error: Exception, run: Run) -> str:
    """The reason of a failed record, in one line."""
    import torch

    from bench.errors import Diverged, UsageError

    if isinstance(error, torch.OutOfMemoryError):
        return (
            f"out of memory: {run.baseline.name} with network {run.network.name} and training.batch = "
            f"{run.training.batch}; set a smaller training.batch or evaluation.STAGE.batch"
        )
    if isinstance(error, Diverged):
        return f"diverged: {error}"
    reason = str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
    return " ".join(reason.split())


def _log(path: Path, progress: Report | None) -> Report:
    """Lines with the time into the run's log file, and the same text to whoever follows."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def log(text: str) -> None:
        with path.open("a") as file:
            file.write(f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")
        if progress:
            progress(text.strip().splitlines()[-1])

    return log
