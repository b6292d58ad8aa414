"""What a loss is given: a batch of the data, and the state of the training around it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.methods.network import Network


@dataclass(frozen=True)
class Batch:
    """Training samples of one piece of a batch.

    Attributes:
        x: (B, ...) in model space.
        labels: classes, int64 (B,), where the data has them.
        given: what the samples are given, images (B, C', H, W) or vectors (B, K), where the task has that.
        index: rows of the training split, int64 (B,).
    """

    x: Tensor
    labels: Tensor | None = None
    given: Tensor | None = None
    index: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)


@dataclass
class Context:
    """The training around a batch.

    Attributes:
        rng: the only source of randomness, on the device of the batch.
        step: updates made so far.
        progress: share of the budget that is spent, 0 to 1.
        averaged: gives the network with the averaged weights, without gradients.
        found: what the method's `ahead` has found of this batch, and the generator behind its draws; see
            Baseline.found.
    """

    rng: torch.Generator
    step: int = 0
    progress: float = 0.0
    averaged: Callable[[], Network] | None = None
    found: tuple[Any, torch.Generator] | None = None

    @property
    def average(self) -> Network:
        """The network with the averaged weights (those of the last step where `training.ema` is 0)."""
        assert self.averaged is not None
        return self.averaged()
