"""Evaluating as many rows at once as memory holds.

Samples that are solved together share their steps, and so their NFE; how many of them go through the network at once
changes nothing but time. So a batch is what a suite says, and only its evaluation is cut to the memory there is.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Shared:
    """What a network has in common with its parts and its other forms.

    Attributes:
        given, labels: those of the batch, (B, ...) and int64 (B,); None where the data has none.
        rows: that went through, each counted once however often an attempt ran out of memory.
    """

    given: Tensor | None = None
    labels: Tensor | None = None
    rows: int = 0


@dataclass
class Memory:
    """How many rows had room, None until something had not; `shared` is of a network whose batch is cut with them."""

    rows: int | None = None
    shared: Shared | None = None

    def rowwise(self, evaluate: Callable[[slice], Tensor], n: int) -> Tensor:
        """evaluate(slice) of rows 0 ... n - 1, stacked; halves slices of several rows when a GPU runs out of memory."""
        shared = self.shared or Shared()
        given, labels, counted = shared.given, shared.labels, shared.rows

        def part(rows: slice) -> Tensor:
            shared.given, shared.labels = (None if value is None else value[rows] for value in (given, labels))
            return evaluate(rows)

        while True:
            size = min(self.rows or n, n)
            try:
                if size == n:
                    return evaluate(slice(0, n))
                return torch.cat([part(slice(i, min(i + size, n))) for i in range(0, n, size)])
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                self.rows, shared.rows = (size + 1) // 2, counted
            finally:
                shared.given, shared.labels = given, labels
            torch.cuda.empty_cache()  # once the frames that held the failed evaluation are gone
