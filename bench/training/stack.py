"""Runs of one method that differ in their seed alone, trained together: S small networks at the price of few operators.

Every run keeps its weights, averages, moments, random numbers, clipping and loss, equal to those of the run alone but
for rounding: the loss is taken once, of the S B rows of all batches, by networks stacked layer by layer
(bench/training/stacked_module.py), with each run's draws from its own generator (bench/training/stacked_draws.py).

    L = sum_s mean_b loss_sb,    so that dL / dtheta_s is the gradient of run s

That holds for losses whose row b hangs on sample b alone; bench/training/stack_check.py tries it. The tensors of a run
are views of the stack's, so its checkpoint is that of a run alone, which it goes on from, in a stack or not. A run that
diverges, or whose validation fails, leaves the stack, and the others go on.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from bench.datasets.source import Draws
from bench.errors import one_line
from bench.evaluation.clock import peak_memory
from bench.records.records import Measurement
from bench.training.optimiser import Update
from bench.training.stacked_draws import JoinedDraws, JoinedMinibatches
from bench.training.stacked_module import stacked
from bench.training.state import TrainingState
from bench.training.trainer import Trainer
from bench.training.watch import NOBODY, Watch


@dataclass
class Member:
    """A run of a stack with all that `Trainer.fit` takes; `left` says why it has left, "" if it has not."""

    trainer: Trainer
    path: Path
    validate: Callable[[nn.Module], list[Measurement]]
    log: Callable[[str], None]
    watch: Watch = NOBODY
    left: str = ""


class Dissolved(Exception):
    """A stack has one run left, or none."""


class Stack(Trainer):
    """The trainings of some runs as one. They are at the same step, which need not be the first.

    Attributes:
        seconds: of the stack's steps; the share of each run is one S-th.
        recent: sums of the runs' losses since the last look at them, (S,).
    """

    def __init__(self, members: Sequence[Member]) -> None:
        """Unstackable if a network cannot be stacked."""
        self.members = members
        self.trainers = [member.trainer for member in members]
        first = self.trainers[0]
        module = stacked([trainer.module for trainer in self.trainers])
        super().__init__(first.identity, first.settings, first.baseline, module, first.dataset, first.seed)
        self.data = JoinedMinibatches([trainer.data for trainer in self.trainers])
        rows = self.settings.batch * len(members)
        self.rng = self.draws = JoinedDraws([trainer.rng for trainer in self.trainers], rows)
        self.step, self.validated, self.recent_steps = first.step, first.validated, first.recent_steps
        self.rows = self.rows_before = first.rows
        self.recent = torch.stack([trainer.recent for trainer in self.trainers])
        self.before = [trainer.seconds for trainer in self.trainers]
        self._bind()

    def train(self) -> None:
        """Train all runs to the end of their budget, as `fit` does one; their checkpoints are then at the end.

        That of one that has left is where it goes on from alone.
        """
        try:
            self.fit(Path(), lambda module: [], lambda text: None, _Watches(self))
        except Dissolved:
            self._hand_out()
            for member in self.members:
                if not member.left:
                    member.trainer.save(member.path)

    @torch.no_grad()
    def _bind(self) -> None:
        """Make the runs' weights, averages and clippings parts of the stack's, and its moments those of the runs."""
        for s, trainer in enumerate(self.trainers):
            for i, (whole, own) in enumerate(zip(self.parameters, trainer.parameters, strict=True)):
                if self.average.tensors[i] is not whole:
                    self.average.tensors[i][s].copy_(trainer.average.tensors[i])
                    trainer.average.tensors[i] = self.average.tensors[i][s]
                own.data = whole.data[s]
            trainer.stacked = max(trainer.stacked, len(self.trainers))
        for clipping, *theirs in zip(self.clippings, *(trainer.clippings for trainer in self.trainers), strict=True):
            clipping.join(theirs)
        for optimizer, *others in self._optimisers():
            optimizer.param_groups[0]["lr"] = others[0].param_groups[0]["lr"]
            for parameter, *theirs in zip(*map(_parameters, (optimizer, *others)), strict=True):
                entries = [each.state[one] for each, one in zip(others, theirs, strict=True) if one in each.state]
                if len(entries) == len(others):
                    optimizer.state[parameter] = {
                        key: torch.stack([entry[key] for entry in entries]) if value.dim() else value.clone()
                        for key, value in entries[0].items()
                    }

    def _optimisers(self) -> Iterator[tuple[Optimizer, ...]]:
        """Each of the stack's with those of the runs that it stands for."""
        return zip(self.optimizers, *(trainer.optimizers for trainer in self.trainers), strict=True)

    def _hand_out(self) -> None:
        """Tell the runs how far they are."""
        for s, trainer in enumerate(self.trainers):
            trainer.step, trainer.recent_steps, trainer.rows = self.step, self.recent_steps, self.rows
            trainer.net.rows = self.rows - self.rows_before
            trainer.seconds = self.before[s] + self.seconds / len(self.trainers)
            trainer.peak = max(trainer.peak, self.peak)
            trainer.recent = self.recent[s]
        for optimizer, *others in self._optimisers():
            for each in others:
                each.param_groups[0]["lr"] = optimizer.param_groups[0]["lr"]
            for parameter, *theirs in zip(*map(_parameters, (optimizer, *others)), strict=True):
                for s, (each, one) in enumerate(zip(others, theirs, strict=True)):
                    if entry := optimizer.state.get(parameter):
                        each.state[one] = {key: value[s] if value.dim() else value for key, value in entry.items()}

    def each(self, do: Callable[[Member], None]) -> None:
        """Have it done for every run of the stack; a run for which it fails leaves.

        Raises:
            Dissolved: one run is left, or none.
        """
        self._hand_out()
        for member in self.members:
            if not member.left:
                try:
                    do(member)
                except Exception as error:
                    member.left = one_line(error)
                    member.log(f"leaves its stack of {len(self.members)} at step {self.step}: {member.left}")
        if sum(not member.left for member in self.members) < 2:
            raise Dissolved

    def _backward(self, update: Update, piece: int) -> Tensor:
        """Put the gradients of all runs on the parameters; their mean losses, (S,)."""
        with self.draws.joined():
            return super()._backward(update, piece)

    def begin_draws(self, rng: Draws, stream: str, index: int) -> None:
        for trainer in self.trainers:
            trainer.begin_draws(trainer.rng, stream, index)

    def mean(self, losses: Tensor) -> Tensor:
        return losses.reshape(len(self.trainers), -1).mean(1)

    def spend(self, seconds: float) -> None:
        self.seconds, self.rows = seconds, self.rows_before + self.net.rows // len(self.trainers)

    def _look(self) -> None:
        self.each(lambda member: member.trainer._look())
        self.recent.zero_()
        self.recent_steps = 0

    def _tell(self, log: Callable[[str], None]) -> None:
        self.each(lambda member: member.trainer._tell(member.log))

    def _validate(self, validate: Callable[[nn.Module], list[Measurement]]) -> None:
        self.peak = max(self.peak, peak_memory(self.device))
        self.each(lambda member: member.trainer._validate(member.validate))
        self.validated = self.progress

    def _seek(self) -> None:
        self.each(lambda member: member.trainer._seek())

    def save(self, path: Path) -> None:
        self.each(lambda member: member.trainer.save(member.path))


class _Watches(Watch):
    """Those of all runs of a stack."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def told(self, run: TrainingState) -> None:
        self.stack.each(lambda member: member.watch.told(member.trainer))

    def validated(self, run: TrainingState) -> None:
        self.stack.each(lambda member: member.watch.validated(member.trainer))


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    (group,) = optimizer.param_groups
    parameters: list[Tensor] = group["params"]
    return parameters
