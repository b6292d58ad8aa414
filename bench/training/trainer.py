"""The one training loop: every baseline is trained by it, for a budget of steps or seconds.

    theta <- Adam(theta, grad mean_b loss_b),    theta_ema <- theta_ema + (1 - d) (theta - theta_ema)

with d = min(ema, (1 + step) / (10 + step)). The mean over the batch is taken piece by piece, and ranks share the
pieces. Every random number of piece c of step i depends on (seed, i, c) alone: a checkpoint goes on with any number of
ranks, and on the CPU a run that was killed and resumed ends bit for bit where an uninterrupted one does. The clock
counts training steps alone, no validation and no checkpoint, and goes on after a restart.
"""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.config.settings import Training
from bench.datasets.base import Dataset
from bench.errors import Diverged, UsageError
from bench.evaluation.clock import now, peak_memory, reset_peak_memory
from bench.methods.baseline import Baseline, Phase, losses
from bench.methods.batch import Batch, Context
from bench.methods.network import CountedNetwork
from bench.records.records import Measurement
from bench.training import checkpoint, ranks
from bench.training.buffers import Buffers
from bench.training.minibatches import Minibatches
from bench.training.modules import copied
from bench.training.optimiser import learning_rate, optimiser, share_gradients
from bench.training.precision import in_training
from bench.training.preemption import at_boundary
from bench.training.seeds import number

CHECK_EVERY = 50  # steps between looks at the loss: reading it waits for the device

Report = Callable[[str], None]


class Trainer:
    """A module in training, with everything that a checkpoint must hold.

    Raises:
        UsageError: the ranks cannot share the pieces of a batch evenly, or flips are asked for of points.
    """

    def __init__(
        self,
        identity: str,
        settings: Training,
        baseline: Baseline,
        module: nn.Module,
        dataset: Dataset,
        seed: int,
    ) -> None:
        if settings.pieces % ranks.count():
            raise UsageError(
                f"training.micro_batch = {settings.micro_batch}: {ranks.count()} ranks cannot share the "
                f"{settings.pieces} micro-batches of batch {settings.batch} evenly"
            )
        if settings.channels_last:
            module = module.to(memory_format=torch.channels_last)
        self.identity = identity
        self.code = self.curve_code = ""  # of the source of the training, and of its curve
        self.accepted: set[str] | None = set()  # older sources whose checkpoint is gone on from; None: any
        self.settings = settings
        self.baseline = baseline
        self.module = module
        self.device = str(next(module.parameters()).device)
        self.dataset = dataset
        self.seed = seed
        self.data = Minibatches(dataset, settings, seed, self.device)
        self.net = CountedNetwork(module, settings.compile)
        self.buffers = Buffers(module, settings.pieces)
        self.parameters: list[Tensor] = list(module.parameters())
        self.average = [p.detach().clone() for p in self.parameters] if settings.ema else self.parameters
        self.optimizer = optimiser(self.parameters, settings)
        self.rng = torch.Generator(self.device)
        self.step = 0
        self.saved: int | None = None  # the step of the last checkpoint
        self.seconds = 0.0
        self.loss = math.nan
        self.recent = torch.zeros((), device=self.device)  # sum of the losses since the last look at them
        self.recent_steps = 0
        self.nfe_before = 0.0  # evaluations before the restart
        self.peak = 0  # bytes, of steps alone
        self.validated = 0.0  # progress at the last point of the curve
        self.curve: list[Measurement] = []

    @property
    def progress(self) -> float:
        """Share of the budget that is spent: of the steps or of the seconds, whichever is further."""
        by_steps = self.step / self.settings.steps if self.settings.steps else 0.0
        by_seconds = self.seconds / self.settings.seconds if self.settings.seconds else 0.0
        return min(1.0, max(by_steps, by_seconds))

    @property
    def finished(self) -> bool:
        """Whether the budget is spent and the last point of the curve is measured."""
        return self.progress >= 1 and (not self.settings.curve_points or self.validated >= 1)

    def evaluations(self) -> float:
        """Evaluations of the network that a batch has taken: its rows over the batch; all ranks must ask."""
        done = ranks.total(torch.tensor(float(self.net.rows), dtype=torch.float64))
        return self.nfe_before + float(done) / self.settings.batch

    def take_step(self) -> Tensor:
        """One update; returns the batch's mean loss, still on the device."""
        s = self.settings
        for parameter in self.parameters:
            parameter.grad = None
        self.buffers.begin()
        parts = []
        for piece in ranks.mine(range(s.pieces)):
            parts.append(self._backward(piece))
            self.buffers.take()
        self.buffers.merge()
        loss, *more = parts
        for part in more:
            loss += part
        if ranks.count() > 1:
            share_gradients(self.parameters, loss)
        if s.clip:
            nn.utils.clip_grad_norm_(self.parameters, s.clip)
        if s.warmup or s.decay != "constant":
            rate = learning_rate(s, self.step, self.progress)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
        self.optimizer.step()
        if s.ema:
            decay = min(s.ema, (1 + self.step) / (10 + self.step))
            with torch.no_grad():
                pairs = zip(self.average, self.parameters, strict=True)
                averages, trained = zip(*((a, p) for a, p in pairs if p.requires_grad), strict=True)
                torch._foreach_lerp_(averages, trained, 1 - decay)
        self.step += 1
        return loss

    def _backward(self, piece: int) -> Tensor:
        """Add the gradient of one piece of this step's batch; its share of the batch's mean loss."""
        values = self.data.take(self.step, piece)
        seed = number(self.seed, "training", self.step * self.settings.pieces + piece)
        self.rng.manual_seed(seed)
        _global_generator(self.device).manual_seed(seed)  # what dropout draws from
        x1 = self.dataset.dequantise(values, self.rng)
        self.net.given = self.dataset.condition(values) if self.dataset.condition else None
        with self.autocast():
            loss = losses(self.baseline, Phase(), self.net, Batch(x1), Context(self.rng)).mean()
        if self.settings.pieces > 1:
            loss = loss / self.settings.pieces
        loss.backward()
        return loss.detach()

    def autocast(self) -> AbstractContextManager[Any]:
        if self.settings.precision == "bf16":
            return torch.autocast(self.device.split(":")[0], torch.bfloat16)
        return nullcontext()

    def fit(self, path: Path, validate: Callable[[nn.Module], list[Measurement]], report: Report) -> None:
        """Train to the end of the budget, validating at shares 1, 1/2, 1/4, ... of it and saving to `path`.

        Raises:
            Diverged: the loss or the weights stopped being finite; no checkpoint has them.
            UsageError: the network cannot be copied for evaluation.
        """
        if self.progress < 1:
            self.evaluation_module()
        marks = [2.0**-k for k in reversed(range(self.settings.curve_points))]
        marks = [m for m in marks if m > self.validated]
        precision = in_training(self.settings.precision, self.device)
        with precision, at_boundary(lambda: self.save(path)) as between_steps:
            if self.settings.compile and self.progress < 1:
                self._compile()
            reset_peak_memory(self.device)
            begun, saved = now(self.device) - self.seconds, self.seconds
            while True:
                if marks and self.progress >= marks[0]:
                    marks = [m for m in marks if m > self.progress]
                    self.save(path)  # a validation may be long
                    self._validate(validate)
                    self.save(path)
                    begun, saved = now(self.device) - self.seconds, self.seconds
                    between_steps()
                if self.progress >= 1:
                    break
                self.recent += self.take_step()
                self.recent_steps += 1
                (self.seconds,) = ranks.agreed(time.perf_counter() - begun)
                due = self.progress >= (marks[0] if marks else 1)
                if self.recent_steps == CHECK_EVERY or due:
                    (self.seconds,) = ranks.agreed(now(self.device) - begun)
                    self._look(report)
                if self.seconds - saved > self.settings.checkpoint_seconds:
                    (self.seconds,) = ranks.agreed(now(self.device) - begun)
                    self.save(path)
                    begun, saved = now(self.device) - self.seconds, self.seconds
                between_steps()
            self.peak = max(self.peak, peak_memory(self.device))
            self.save(path)

    def _compile(self) -> None:
        """Have the network compiled by a step that leaves nothing behind, so that the clock counts training alone."""
        rows = self.net.rows
        with self.buffers.kept():
            self._backward(ranks.mine(range(self.settings.pieces))[0])
        self.net.rows = rows

    def _look(self, report: Report) -> None:
        """Read the mean loss of the last steps and say where training stands."""
        self.loss = float(self.recent) / self.recent_steps
        if not math.isfinite(self.loss):
            raise Diverged(f"the loss is {self.loss} at step {self.step}; {checkpoint.before(self)}")
        self.recent.zero_()
        self.recent_steps = 0
        s = self.settings
        where = f"{self.step}/{s.steps}" if s.steps else f"{self.step} ({self.seconds:.0f}/{s.seconds:.0f} s)"
        waited = "" if self.data.resident else f", waited {self.data.waited:.1f} s for data"
        report(f"train {where} loss {self.loss:.4g}, {self.seconds:.1f} s{waited}")

    def _validate(self, validate: Callable[[nn.Module], list[Measurement]]) -> None:
        where = {
            "curve": True,
            "step": self.step,
            "train_seconds": self.seconds,
            "nfe_training": self.evaluations(),
        }
        self.peak = max(self.peak, peak_memory(self.device))
        for m in validate(self.evaluation_module()):
            self.curve.append(replace(m, settings={**m.settings, **where}))
        self.validated = self.progress
        reset_peak_memory(self.device)

    def evaluation_module(self) -> nn.Module:
        """A copy with the averaged weights, frozen: what every metric is measured on.

        Only what is trained is averaged. Buffers and parameters that take no gradient are those of the last step.
        """
        module = copied(self.module).eval().requires_grad_(False)
        with torch.no_grad():
            for copy, mine, average in zip(module.parameters(), self.parameters, self.average, strict=True):
                if mine.requires_grad:
                    copy.copy_(average)
        return module

    def save(self, path: Path) -> None:
        """Write the checkpoint atomically; all ranks must take part. Diverged where it would be poisoned."""
        checkpoint.look(self)
        checkpoint.save(self, path)

    def restore(self, path: Path, report: Report) -> bool:
        """Go on from a checkpoint, if there is one of this very run; UsageError for one of another."""
        return checkpoint.restore(self, path, report)


def _global_generator(device: str) -> torch.Generator:
    if device.startswith("cuda"):
        return torch.cuda.default_generators[torch.cuda.current_device()]
    return torch.default_generator
