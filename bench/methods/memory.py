"""Evaluating as many rows at once as memory holds.

Samples that are solved together share their steps, and so their NFE; how many of them go through the network at once
changes nothing but time. So a batch is what a suite says, and only its evaluation is cut to the memory there is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Counter(Protocol):
    """What counts the rows that are evaluated."""

    rows: int


@dataclass
class Memory:
    """How many rows had room, None until something had not; an attempt without room does not count in `counter`."""

    rows: int | None = None
    counter: Counter | None = None

    def rowwise(self, evaluate: Callable[[slice], Tensor], n: int) -> Tensor:
        """evaluate(slice) of rows 0 ... n - 1, stacked; halves slices of several rows when a GPU runs out of memory."""
        before = self.counter.rows if self.counter else 0
        while True:
            size = min(self.rows or n, n)
            try:
                if size == n:
                    return evaluate(slice(0, n))
                return torch.cat([evaluate(slice(i, min(i + size, n))) for i in range(0, n, size)])
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                self.rows = (size + 1) // 2
            if self.counter:
                self.counter.rows = before
            torch.cuda.empty_cache()  # once the frames that held the failed evaluation are gone
