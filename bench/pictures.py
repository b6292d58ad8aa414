"""The arrays beside the records, which plots are drawn from: a few samples, and where two-dimensional ones came along.

Points are kept in half precision, images as uint8 of shape (n, H, W, C).
"""

from typing import Any

import torch
from torch import Tensor

from bench import ranks
from bench.datasets.base import Dataset
from bench.metrics.sampling import Batch
from bench.metrics.transport import Paths

Arrays = dict[str, Any]
POINTS, IMAGES = 2000, 64
FEW_POINTS, FEW_IMAGES = 1000, 16  # at each small number of evaluations


class Shown:
    """The first n samples, kept from whichever rank drew them."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.parts: list[tuple[int, Tensor]] = []

    def add(self, batch: Batch) -> None:
        if batch.start < self.n:
            self.parts.append((batch.start, batch.x[: self.n - batch.start].cpu()))

    def gathered(self) -> Tensor:
        """All that the ranks have kept, in order; all ranks must ask."""
        parts = sorted((part for theirs in ranks.gathered(self.parts) for part in theirs), key=lambda part: part[0])
        return torch.cat([x for _, x in parts])


def for_plots(x: Tensor) -> Any:
    """Samples as they are kept."""
    return (x.permute(0, 2, 3, 1) if x.dtype == torch.uint8 else x.half()).cpu().numpy()


def pictures(dataset: Dataset, x: Tensor, paths: Paths) -> Arrays:
    """Samples beside as many held-out ones; what they were given; trajectories and snapshots of 2-D paths."""
    data = dataset.test[: len(x)]
    if dataset.is_image:
        arrays: Arrays = {"samples": for_plots(x), "data": for_plots(dataset.pixels(data))}
        if dataset.condition:
            arrays["given"] = for_plots(dataset.quantise(dataset.condition(data)))
        return arrays
    arrays = {"samples": for_plots(x), "data": for_plots(data)}
    if dataset.shape == (2,):
        moments = [round(i * (len(paths.times) - 1) / 5) for i in range(6)]
        arrays |= {
            "times": paths.times.float().numpy(),
            "trajectories": paths.x[:, :64].half().cpu().numpy(),
            "snapshot_times": paths.times[moments].float().numpy(),
            "snapshots": paths.x[moments, :2000].half().cpu().numpy(),
            "extent": dataset.extent,
        }
    return arrays
