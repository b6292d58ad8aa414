"""A run in training: everything that a checkpoint must hold, and what is measured of it."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from bench.config.settings import Training
from bench.datasets.base import Dataset
from bench.datasets.source import Draws
from bench.errors import Diverged
from bench.methods.baseline import Baseline
from bench.methods.network import CountedNetwork
from bench.records.records import Measurement
from bench.training import ranks
from bench.training.ahead import Ahead
from bench.training.average import Average
from bench.training.best import Best
from bench.training.buffers import Buffers
from bench.training.minibatches import Minibatches
from bench.training.optimiser import updates


class TrainingState:
    """A module with its optimisers, its averaged weights and its progress.

    Attributes:
        code, curve_code: the source of the training, and of its curve.
        accepted: older sources whose checkpoint is gone on from; None: any.
        teachers: SHA-256 of the weights that were loaded, sorted.
        tuned: the values that its trials have chosen.
        saved: the step of the last checkpoint.
        seconds: of steps alone, no validation and no checkpoint.
        loss: the mean over the last steps; of several phases the sum.
        recent, recent_steps: sum of the losses since the last look at them, and how many they are.
        rows: that went through networks in training, on all ranks, as of the last step of the loop.
        rows_before: those before the restart.
        peak: bytes, of steps alone.
        best: the weights of least validation loss, where they are kept.
        validated: progress at the last point of the curve.
        stacked: of how many runs the largest stack was that it was trained in (bench/training/stack.py), or 1.
    """

    def __init__(
        self, identity: str, settings: Training, baseline: Baseline, module: nn.Module, dataset: Dataset, seed: int
    ) -> None:
        if settings.channels_last:
            module = module.to(memory_format=torch.channels_last)
        self.identity, self.settings, self.seed = identity, settings, seed
        self.baseline, self.module, self.dataset = baseline, module, dataset
        self.code = self.curve_code = ""
        self.accepted: set[str] | None = set()
        self.teachers: list[str] = []
        self.tuned: dict[str, Any] = {}
        self.device = str(next(module.parameters()).device)
        self.updates = updates(baseline, module, settings)
        self.optimizers = list(dict.fromkeys(update.optimizer for update in self.updates))
        self.clippings = list(dict.fromkeys(update.clipping for update in self.updates))
        self.data = Minibatches(dataset, settings, seed, self.device, len(self.updates))
        self.rng = self.generator()
        self.net = CountedNetwork(module, settings.compile)
        self.ahead: Ahead | None = None
        self.buffers = Buffers(module, settings.pieces)
        self.parameters: list[Tensor] = list(module.parameters())
        self.average = Average(module, settings.ema)
        self.best = Best(baseline, dataset, settings, seed, self.device) if settings.keep == "best" else None
        self.step = self.rows = self.rows_before = self.recent_steps = self.peak = 0
        self.saved: int | None = None
        self.stacked = 1
        self.seconds = self.validated = 0.0
        self.loss = math.nan
        self.recent = torch.zeros((), device=self.device)
        self.curve: list[Measurement] = []

    def generator(self) -> Draws:
        """A generator on the device that knows the source of the data."""
        rng = Draws(self.device)
        rng.source = self.dataset.source
        return rng

    @property
    def progress(self) -> float:
        """Share of the budget that is spent: of the steps, the seconds or the evaluations, whichever is furthest."""
        s = self.settings
        if s.weights:
            return 1.0
        budgets = ((self.step, s.steps), (self.seconds, s.seconds), (self.rows, s.evaluations))
        return min(1.0, max(spent / whole for spent, whole in budgets if whole))

    @property
    def where(self) -> str:
        """How far it is, by the step, evaluations or seconds of its budget: "step 40 of 60"."""
        s = self.settings
        if s.weights:
            return s.budget
        if s.steps:
            return f"step {self.step} of {s.steps}"
        if s.evaluations:
            return f"step {self.step} ({self.rows:,} of {s.evaluations:,} evaluations)"
        return f"step {self.step} ({self.seconds:.0f} of {s.seconds:.0f} s)"

    @property
    def latest(self) -> float:
        """The mean loss of the steps since the last look, or of those before it; reading it waits for the device."""
        return float(self.recent) / self.recent_steps if self.recent_steps else self.loss

    @property
    def finished(self) -> bool:
        """Whether the budget is spent and the last point of the curve is measured."""
        return self.progress >= 1 and (not self.settings.curve_points or self.validated >= 1)

    def evaluations(self) -> float:
        """Evaluations of the network that a batch has taken: its rows over the batch; all ranks must ask."""
        return (self.rows_before + int(ranks.total(torch.tensor(self.net.rows)))) / self.settings.batch

    def spend(self, seconds: float) -> None:
        """Have all ranks go by the same seconds and rows since the start; all must ask."""
        self.seconds, rows = ranks.tallied(seconds, self.net.rows)
        self.rows = self.rows_before + rows

    def diverged(self, what: str) -> Diverged:
        """The error of a run whose loss or weights are not finite, which says where it would go on."""
        goes_on = f"--retry goes on from the checkpoint of step {self.saved}"
        return Diverged(f"{what} at step {self.step}; {'no checkpoint is older' if self.saved is None else goes_on}")
