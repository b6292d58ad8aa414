"""A run with all that is known where it is worked on: its data, device and ranks, and where its records go."""

from dataclasses import dataclass
from pathlib import Path

from bench.config.choice import Choice
from bench.config.suite import Run
from bench.records.records import run_folder

RANK_ERROR = "rank-error.txt"


@dataclass(frozen=True)
class Task:
    """A run with where its records go, where data is, what it runs on, and the plugins it needs.

    `ranks` processes share the run, each with a GPU of its own if the device is "cuda", and each with `threads` on the
    CPU if the run begins now (bench/launch/threads.py), or with those that the process has. `keep_stale` is whether a
    checkpoint of older source is gone on from, and `tensorboard` whether event files are written. `choice` is what the
    trials of a run that is tuned have chosen, whose values the run then has.
    """

    run: Run
    root: Path
    data_dir: Path
    device: str = "cpu"
    plugins: tuple[str, ...] = ()
    ranks: int = 1
    threads: int | None = None
    keep_stale: bool = False
    tensorboard: bool = False
    choice: Choice | None = None

    @property
    def folder(self) -> Path:
        return run_folder(self.root, self.run.run_id)

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    @property
    def rank_error(self) -> Path:
        return self.folder / RANK_ERROR

    def reason(self, seen: str) -> str:
        """What another rank left as its reason: to the main one a peer's failure looks like a lost connection."""
        return self.rank_error.read_text(encoding="utf-8") if self.ranks > 1 and self.rank_error.exists() else seen
