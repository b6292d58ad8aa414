"""Jobs that cost nothing and end in every way a job can end. They import nothing heavy, as workers start often."""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench import records
from bench.files import locked, write_json
from bench.preemption import at_boundary
from bench.records import Measurement
from bench.suite import Run


def make_run(name: str, seed: int = 0) -> Run:
    fields = {
        "dataset": "none",
        "network": "none",
        "baseline": name,
        "training": {"steps": 1},
        "evaluation": {},
    }
    return Run.model_validate({"suite": "fake", "protocol": "smoke", "seed": seed, **fields})


@dataclass(frozen=True)
class FakeJob:
    """Adds up the step numbers, with a checkpoint like a training run's; `act` happens at the first step.

    Attributes:
        act: "", "fail" (a failed record), "raise", or something that kills: "SIGKILL", "SIGSEGV", "exit".
        once: files of this name keep what is to happen once from happening again.
    """

    run: Run
    root: Path
    act: str = ""
    steps: int = 1
    pause: float = 0.0
    facts: dict[str, object] = field(default_factory=dict)

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
                file.write(f"{os.getpid()} {time.time()}\n")
            self._act()
            if self.act == "fail":
                records.fail(self.root, self.run, "it was told to fail")
                return "failed"
            self._train(progress)
            return "ok"

    def _act(self) -> None:
        if self.act == "raise":
            raise ValueError("a bug")
        if self.act.startswith("SIG"):
            os.kill(os.getpid(), signal.Signals[self.act])
        if self.act == "exit":
            os._exit(3)

    def _train(self, progress: Callable[[str], None] | None) -> None:
        checkpoint = self.folder / "checkpoint.pt"
        state = json.loads(checkpoint.read_text()) if checkpoint.exists() else {"step": 0, "sum": 0}
        resumed = state["step"]
        with at_boundary(lambda: write_json(checkpoint, state)) as between_steps:
            while state["step"] < self.steps:
                time.sleep(self.pause)
                state = {"step": state["step"] + 1, "sum": state["sum"] + state["step"]}
                if progress:
                    progress(f"step {state['step']}/{self.steps}")
                between_steps()
        rows = [Measurement("sum", state["sum"]), Measurement("resumed", resumed)]
        rows.append(Measurement("threads", float(os.environ.get("OMP_NUM_THREADS", 0))))
        environment = {
            "pid": os.getpid(),
            "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "job": _slurm_job(),
        }
        records.write_stage(self.root, self.run, "train", rows, {"environment": environment})

    def result(self) -> dict[str, float]:
        """The measurements of the finished run by name."""
        record = records.read_stage(self.root, self.run.run_id, "train")
        assert record and record["status"] == "ok", record
        return {m["metric"]: m["value"] for m in record["measurements"]}

    def environment(self) -> dict[str, object]:
        record = records.read_stage(self.root, self.run.run_id, "train")
        assert record
        return dict(record["environment"])

    def starts(self) -> int:
        """How often the run was begun."""
        return len((self.folder / "starts").read_text().splitlines())


def _slurm_job() -> str | None:
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array else os.environ.get("SLURM_JOB_ID")
