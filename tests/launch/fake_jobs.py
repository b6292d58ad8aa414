"""Jobs that cost nothing, import nothing heavy, and end in every way a job can end."""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.config.suite import Run
from bench.records import records
from bench.records.files import write_text
from bench.records.locks import locked
from bench.records.records import Measurement
from bench.training.preemption import at_boundary


def make_run(name: str, seed: int = 0, teacher: str | None = None) -> Run:
    baseline = {"name": name, "options": {"teacher": teacher} if teacher else {}}
    names = {"suite": "fake", "protocol": "smoke", "dataset": "none", "network": "none", "baseline": baseline}
    return Run.model_validate({**names, "training": {"steps": 1}, "evaluation": {}, "seed": seed})


@dataclass(frozen=True)
class FakeJob:
    """Adds up the step numbers, with checkpoints as a training run has them; before that it does `act`.

    Attributes:
        act: "", "fail" (a failed record), "raise", or what kills the process: "SIGKILL", "SIGSEGV", "exit".
        steps, pause: number of steps and the seconds of each.
    """

    run: Run
    root: Path
    act: str = ""
    steps: int = 1
    pause: float = 0.0
    ranks: int = 1

    @property
    def folder(self) -> Path:
        return records.run_folder(self.root, self.run.run_id)

    def __call__(self, progress: Callable[[str], None] | None = None) -> str:
        with locked(self.folder / "lock", wait=False) as mine:
            if not mine:
                return "busy"
            if records.finished(self.root, self.run):
                return "ok"
            with (self.folder / "starts").open("a") as file:
                file.write(f"{os.getpid()}\n")
            if self.act == "fail":
                records.fail(self.root, self.run, "it was told to fail")
                return "failed"
            self._act()
            self._train(progress)
            return "ok"

    def _act(self) -> None:
        if self.act == "raise":
            raise ValueError("a bug")
        if self.act == "exit":
            os._exit(3)
        if self.act:
            os.kill(os.getpid(), signal.Signals[self.act])

    def _train(self, progress: Callable[[str], None] | None) -> None:
        checkpoint = self.folder / "checkpoint.pt"
        state = json.loads(checkpoint.read_text()) if checkpoint.exists() else {"step": 0, "sum": 0}
        resumed, begun = state["step"], time.time()
        with at_boundary(lambda: write_text(checkpoint, json.dumps(state))) as between_steps:
            while state["step"] < self.steps:
                time.sleep(self.pause)
                state = {"step": state["step"] + 1, "sum": state["sum"] + state["step"]}
                if progress:
                    progress(f"step {state['step']}/{self.steps}")
                between_steps()
        rows = [Measurement("sum", state["sum"]), Measurement("resumed", resumed)]
        facts = {"pid": os.getpid(), "times": [begun, time.time()], "environment": dict(os.environ)}
        records.write_stage(self.root, self.run, "train", rows, facts)

    def record(self) -> dict[str, Any]:
        """The record of the finished run."""
        record = records.read_stage(self.root, self.run.run_id, "train")
        assert record and record["status"] == "ok", record
        return record

    def result(self) -> dict[str, float]:
        """The measurements of the finished run by name."""
        return {m["metric"]: m["value"] for m in self.record()["measurements"]}

    def starts(self) -> list[int]:
        """Process ids of those that began the run."""
        path = self.folder / "starts"
        return [int(pid) for pid in path.read_text().split()] if path.exists() else []


class FatalTogether(FakeJob):
    """Kills the worker that would train it together with others."""

    def load(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)
