"""The one training loop: every baseline is trained by it, for a budget of steps, seconds or evaluations.

A step is one update per phase (bench/training/optimiser.py), each on a batch of its own, and one of the averaged
weights (bench/training/average.py). The mean over a batch is taken piece by piece, and ranks share the pieces. Every
random number of piece c of phase p of step i depends on (seed, p, i, c) alone: a checkpoint goes on with any number of
ranks, and on the CPU a run that was killed and resumed ends bit for bit where an uninterrupted one does, but for
rounding if other seeds were trained with it for a while (bench/training/stack.py). The clock counts training steps
alone, no validation and no checkpoint, and goes on after a restart. A training ends with the weights of its last step,
or of the least validation loss (bench/training/best.py).
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.datasets.source import Draws
from bench.evaluation.clock import Pace, now, peak_memory, reset_peak_memory
from bench.methods.baseline import losses
from bench.methods.batch import Batch, Context
from bench.records.records import Measurement
from bench.training import checkpoint, ranks
from bench.training.ahead import Ahead, Piece, Ready, pays
from bench.training.optimiser import Update, share_gradients
from bench.training.precision import in_training, slowed
from bench.training.preemption import at_boundary
from bench.training.seeds import number
from bench.training.state import TrainingState
from bench.training.watch import NOBODY, Watch

CHECK_EVERY = 50  # steps between looks at the loss: reading it waits for the device


class Trainer(TrainingState):
    """A run in training, and the loop that trains it."""

    def take_step(self) -> Tensor:
        """One update of every phase; returns the sum of their mean losses over the batch, still on the device."""
        progress, found = self.progress, []
        for update in self.updates:
            found.append(self._gradient(update))
            update.apply(self.settings, self.step, progress)
        self.average.follow(self.step)
        self.step += 1
        first, *more = found
        return sum(more, start=first)

    def _gradient(self, update: Update) -> Tensor:
        """Put the gradient of a phase's loss on its parameters; the batch's mean loss."""
        for parameter in self.parameters:
            parameter.grad = None
        self.buffers.begin()
        parts = []
        for piece in ranks.mine(range(self.settings.pieces)):
            parts.append(self._backward(update, piece))
            self.buffers.take()
        self.buffers.merge()
        loss, *more = parts
        for part in more:
            loss += part
        if ranks.count() > 1:
            share_gradients(update.parameters, loss)
        return loss

    def _backward(self, update: Update, piece: int) -> Tensor:
        """Add the gradient of one piece of a phase's batch; its share of the batch's mean loss."""
        place = self.step, update.number, piece
        ready = self.ahead.take(place) if self.ahead else self.ready(place, self.rng)
        self.net.given, self.net.labels = ready.batch.given, ready.told
        _global_generator(self.device).manual_seed(ready.rng.initial_seed())  # what dropout draws from
        context = Context(ready.rng, self.step, self.progress, lambda: self.average.network(self.net), ready.found)
        with self.autocast():
            loss = self.mean(losses(self.baseline, update.phase, self.net, ready.batch, context))
        if self.settings.pieces > 1:
            loss = loss / self.settings.pieces
        update.backward(loss)
        return loss.detach()

    def ready(self, piece: Piece, rng: Draws) -> Ready:
        """A piece of a batch, with `rng` behind the draws that made it."""
        step, phase, part = piece
        samples = self.data.take(step, part, phase)
        stream, index = self.updates[phase].stream, step * self.settings.pieces + part
        self.begin_draws(rng, f"tell{stream}", index)
        told = self.baseline.tell(samples.labels, rng)
        self.begin_draws(rng, f"training{stream}", index)
        x = self.dataset.encode(samples.values, rng)
        return Ready(Batch(x, samples.labels, samples.given, samples.rows), told, rng)

    def found(self, piece: Piece) -> Ready:
        """A piece, and what the method finds before it asks the network; changes nothing of the training."""
        ready = self.ready(piece, self.generator())
        after = self.generator()
        after.set_state(ready.rng.get_state())
        with self.autocast():
            return ready._replace(found=(self.baseline.ahead(ready.batch, after), after))

    def begin_draws(self, rng: Draws, stream: str, index: int) -> None:
        """Have a generator draw the random numbers of a stream at this index."""
        rng.manual_seed(number(self.seed, stream, index))

    def mean(self, losses: Tensor) -> Tensor:
        """The loss of a batch from those of its samples (B,)."""
        return losses.mean()

    def autocast(self) -> AbstractContextManager[Any]:
        if self.settings.precision == "bf16":
            return torch.autocast(self.device.split(":")[0], torch.bfloat16)
        return nullcontext()

    def fit(
        self,
        path: Path,
        validate: Callable[[nn.Module], list[Measurement]],
        log: Callable[[str], None],
        watch: Watch = NOBODY,
    ) -> None:
        """Train to the end of the budget, validating at shares 1, 1/2, 1/4, ... of it and saving to `path`.

        Diverged if the loss or the weights stopped being finite; no checkpoint has them then. UsageError if the network
        cannot be copied for evaluation.
        """
        if self.progress < 1:
            self.average.frozen()
            if note := slowed(self.settings.precision, self.device):
                log(note)
        marks = [2.0**-k for k in reversed(range(self.settings.curve_points))]
        marks = [m for m in marks if m > self.validated]
        precision = in_training(self.settings.precision, self.device)
        with precision, self.looking_ahead(), at_boundary(lambda: self.save(path)) as between_steps:
            if self.settings.compile and self.progress < 1:
                self._compile()
            reset_peak_memory(self.device)
            watch.validated(self)
            pace = Pace()
            begun, saved = now(self.device) - self.seconds, self.seconds
            while True:
                if marks and self.progress >= marks[0]:
                    marks = [m for m in marks if m > self.progress]
                    self.save(path)  # a validation may be long
                    self._validate(validate)
                    self.save(path)
                    watch.validated(self)
                    begun, saved = now(self.device) - self.seconds, self.seconds
                    between_steps()
                if self.progress >= 1:
                    break
                self.recent += self.take_step()
                self.recent_steps += 1
                self.spend(time.perf_counter() - begun)
                if self.looks_for_best:
                    (self.seconds,) = ranks.agreed(now(self.device) - begun)
                    self._seek()
                    begun = now(self.device) - self.seconds
                due = self.progress >= (marks[0] if marks else 1)
                if self.recent_steps == CHECK_EVERY or due:
                    (self.seconds,) = ranks.agreed(now(self.device) - begun)
                    self._look()
                if pace.due() or due:
                    self._tell(log)
                    watch.told(self)
                if self.seconds - saved > self.settings.checkpoint_seconds:
                    (self.seconds,) = ranks.agreed(now(self.device) - begun)
                    self.save(path)
                    begun, saved = now(self.device) - self.seconds, self.seconds
                between_steps()
            self.peak = max(self.peak, peak_memory(self.device))
            self.save(path)

    @property
    def looks_for_best(self) -> bool:
        """Whether the step that was taken is one after which the validation loss is looked at."""
        s = self.settings
        return s.keep == "best" and (self.step % s.validate_every == 0 or self.progress >= 1)

    def _seek(self) -> None:
        """Look at the validation loss, and at the end go back to the best weights."""
        assert self.best
        self.best.look(self.average.frozen(), self.step, self.progress, self.autocast)
        if self.progress >= 1:
            self.best.settle(self.average.tensors, self.module.buffers())

    @contextmanager
    def looking_ahead(self) -> Iterator[None]:
        """Have pieces made ready in a thread while the network works, where that pays."""
        if not pays(self.baseline, self.device):
            yield
            return
        parts = ranks.mine(range(self.settings.pieces))
        self.ahead = Ahead(
            self.found, [(update.number, part) for update in self.updates for part in parts], self.device
        )
        try:
            yield
        finally:
            self.ahead.close()
            self.ahead = None

    def _compile(self) -> None:
        """Have the network compiled by a step that leaves nothing behind, so that the clock counts training alone."""
        rows = self.net.rows
        with self.buffers.kept():
            for update in self.updates:
                self._backward(update, ranks.mine(range(self.settings.pieces))[0])
        self.net.rows = rows

    def _look(self) -> None:
        """Read the mean loss of the last steps."""
        self.loss = float(self.recent) / self.recent_steps
        if not math.isfinite(self.loss):
            raise self.diverged(f"the loss is {self.loss}")
        self.recent.zero_()
        self.recent_steps = 0

    def _tell(self, log: Callable[[str], None]) -> None:
        waited = "" if self.data.resident else f", waited {self.data.waited:.1f} s for data"
        log(f"train {self.where}, loss {self.latest:.4g}, {self.seconds:.1f} s{waited}")

    def _validate(self, validate: Callable[[nn.Module], list[Measurement]]) -> None:
        place = {"step": self.step, "train_seconds": self.seconds, "nfe_training": self.evaluations()}
        self.peak = max(self.peak, peak_memory(self.device))
        self.curve += [replace(m, place=place) for m in validate(self.average.frozen())]
        self.validated = self.progress
        reset_peak_memory(self.device)

    def save(self, path: Path) -> None:
        """Write the checkpoint; all ranks must take part. Diverged if it would be poisoned."""
        checkpoint.look(self)
        checkpoint.save(self, path)

    def restore(self, path: Path, log: Callable[[str], None]) -> bool:
        """Go on from a checkpoint, if there is one of this run; UsageError for one of another."""
        return checkpoint.restore(self, path, log)


def _global_generator(device: str) -> torch.Generator:
    if device.startswith("cuda"):
        return torch.cuda.default_generators[torch.cuda.current_device()]
    return torch.default_generator
