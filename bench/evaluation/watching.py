"""What is told of a run beside its log: how far its training is, and TensorBoard's event files if asked for."""

from collections.abc import Callable, Mapping
from typing import Any

from bench.config.settings import Stage
from bench.evaluation.board import FOLDER, Board
from bench.evaluation.parts import Arrays, Rows
from bench.launch.task import Task
from bench.records import underway
from bench.training.optimiser import learning_rate
from bench.training.state import TrainingState
from bench.training.watch import Watch


class Watching(Watch):
    """Of a run as it stands, on its main rank.

    `facts` are those of its records, and `extent` the half-width of the square that points are seen in.
    """

    def __init__(self, task: Task, run: TrainingState, extent: float, facts: Callable[[], Mapping[str, Any]]) -> None:
        self.task, self.extent, self.facts = task, extent, facts
        self.step, self.points = run.step, 0
        folder = task.root / FOLDER / task.folder.name
        # What was written at the very step of the checkpoint stays.
        self.board = Board(folder, None if run.finished else run.step + 1) if task.tensorboard else None

    def told(self, run: TrainingState) -> None:
        if self.board:
            rate = learning_rate(run.settings, run.step - 1, run.progress)
            self.board.loss(run.step, run.latest, rate, run.seconds)

    def validated(self, run: TrainingState) -> None:
        underway.write(self.task.root, self.task.run, run.where, run.curve, self.facts())
        if self.board and run.step > self.step:
            self.board.measured("validation", run.curve[self.points :], run.step)
        self.step, self.points = run.step, len(run.curve)

    def drawn(self, what: str, arrays: Arrays, step: int) -> None:
        """A sheet of samples, if there are some to be seen."""
        if self.board and "samples" in arrays:
            self.board.sheet(what, arrays["samples"], self.extent, step)

    def ended(self, stage: Stage, rows: Rows, arrays: Arrays, step: int) -> None:
        """The end of a stage after the training, with its measurements and arrays."""
        if self.board and stage != "train":
            self.board.measured(stage, rows, step)
            self.drawn(stage, arrays, step)
