"""The arrays beside the records, which plots are drawn from: a few samples, and where two-dimensional ones came along.

Points are kept in half precision, images as uint8 of shape (n, H, W, C).
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.datasets.base import Dataset
from bench.evaluation.geometry import Paths
from bench.evaluation.trained import Drawn
from bench.methods.paths import Path
from bench.records.records import Measurement
from bench.training import ranks

Arrays = dict[str, Any]
POINTS, IMAGES = 2000, 64
FEW_POINTS, FEW_IMAGES = 1000, 16  # at each small number of evaluations
MOMENTS = 6  # states kept of an image on its way
FIELD_TIMES = (0.0, 1 / 3, 2 / 3, 0.9)  # shares of the way at which a conditional field is kept, on GRID x GRID points
GRID = 20


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
    """Samples as they are kept."""
    return (x.permute(0, 2, 3, 1) if x.dtype == torch.uint8 else x.half()).cpu().numpy()


def lost(metric: str, settings: dict[str, Any], reason: str) -> list[Measurement]:
    """What says why there is no picture; a picture that is there is no measurement."""
    return [Measurement(metric, math.nan, settings=settings, reason=reason)]


def of_samples(dataset: Dataset, x: Tensor) -> Arrays:
    """Samples beside held-out ones, and what they were given."""
    data = dataset.test[: len(x)]
    if not dataset.is_image:
        return {"samples": for_plots(x), "data": for_plots(data)}
    arrays: Arrays = {"samples": for_plots(x), "data": for_plots(dataset.pixels(data))}
    if dataset.given and dataset.space is None and (given := dataset.given(data)).ndim == data.ndim:
        arrays["given"] = for_plots(dataset.decode(given))
    return arrays


def of_paths(dataset: Dataset, path: Path | None, paths: Paths) -> Arrays:
    """The way of samples from noise; for 2-D data a method's path to one point, too."""
    if dataset.is_image:
        moments = [round(i * (len(paths.times) - 1) / (MOMENTS - 1)) for i in range(MOMENTS)]
        states = paths.x[moments, : FEW_IMAGES // 2]
        frames = dataset.decode(states.flatten(0, 1)).unflatten(0, states.shape[:2])
        return {
            "snapshot_times": paths.times[moments].float().numpy(),
            "snapshots": np.stack([for_plots(frame) for frame in frames]),
        }
    if not dataset.is_plane:
        return {}
    arrays: Arrays = {
        "times": paths.times.float().numpy(),
        "trajectories": paths.x[:, :64].half().cpu().numpy(),
        "extent": dataset.extent,
    }
    if path:
        arrays |= conditional(path, dataset.test[0].cpu(), paths.x[0, :64].cpu(), dataset.extent)
    return arrays


def conditional(path: Path, x1: Tensor, x0: Tensor, extent: float) -> Arrays:
    """The path to one point x1 (2,): the flow psi_t(x0) of noise x0 (n, 2), and its field u_t(x | x1) on a grid."""
    times = torch.linspace(0.0, path.t_end, 51)
    axis = torch.linspace(-extent, extent, GRID)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2)
    shown = torch.tensor(FIELD_TIMES) * path.t_end
    fields = [path.conditional_velocity(t, grid, x1.expand_as(grid)) for t in shown]
    return {
        "conditional_target": x1.float().numpy(),
        "conditional_times": times.numpy(),
        "conditional_paths": torch.stack([path.sample(t, x0, x1.expand_as(x0)) for t in times]).half().numpy(),
        "conditional_field_times": shown.numpy(),
        "conditional_fields": torch.stack(fields).reshape(len(shown), GRID, GRID, 2).half().numpy(),
    }
