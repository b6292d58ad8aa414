"""The arrays beside the records, which plots are drawn from: a few samples of each way of drawing.

Points are kept in half precision, images as uint8 of shape (n, H, W, C).
"""

from typing import Any

import torch
from torch import Tensor

from bench.datasets.base import Dataset
from bench.evaluation.trained import Drawn
from bench.training import ranks

Arrays = dict[str, Any]
POINTS, IMAGES = 2000, 64
FEW_POINTS, FEW_IMAGES = 1000, 16  # at each small number of evaluations


def how_many(dataset: Dataset) -> int:
    """Samples of the headline that are kept."""
    return IMAGES if dataset.is_image else POINTS


class Shown:
    """The first n samples, kept from whichever rank drew them."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.parts: list[tuple[int, Tensor]] = []

    def add(self, batch: Drawn) -> None:
        if batch.start < self.n:
            self.parts.append((batch.start, batch.x[: self.n - batch.start].cpu()))

    def gathered(self) -> Tensor:
        """All that the ranks have kept, in order; all ranks must ask."""
        parts = sorted((part for theirs in ranks.gathered(self.parts) for part in theirs), key=lambda part: part[0])
        return torch.cat([x for _, x in parts])


def for_plots(x: Tensor) -> Any:
    return (x.permute(0, 2, 3, 1) if x.dtype == torch.uint8 else x.half()).cpu().numpy()


def of_points(dataset: Dataset, x: Tensor) -> Any:
    """Points as a model sees them, with the plane that its paths and densities lie in."""
    return for_plots(dataset.encode(x))


def of_samples(dataset: Dataset, x: Tensor) -> Arrays:
    """Samples beside held-out ones, and what they were given."""
    data = dataset.test[: len(x)]
    if not dataset.is_image:
        return {"samples": of_points(dataset, x), "data": of_points(dataset, data)}
    arrays: Arrays = {"samples": for_plots(x), "data": for_plots(dataset.pixels(data))}
    given = dataset.given_of("test", slice(len(data))) if dataset.space is None else None
    if given is not None and given.ndim == data.ndim:
        arrays["given"] = for_plots(dataset.decode(given))
    return arrays
