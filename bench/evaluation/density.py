"""Pictures of a density in two dimensions: its logarithm on a grid, on the way from the noise to the data."""

import math
from functools import partial as bound

import numpy as np
import torch
from torch import Tensor

from bench.evaluation import pictures
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.partial import Partial
from bench.evaluation.parts import Arrays, Parts, Rows
from bench.methods.density import log_density
from bench.methods.finite import require
from bench.methods.ode import Solver, VelocityField
from bench.training import ranks

TIMES = (0.2, 0.4, 0.6, 0.8, 1.0)  # shares of the way to t_end at which a density is kept
SIZE = 80  # points a side of its grid


def measure_density(evaluator: Evaluator, parts: Parts) -> None:
    times = [share * evaluator.trained.model().t_end for share in TIMES]
    for i, t in enumerate(times):
        where, blank = f"at t = {t:.3g}", bound(pictures.lost, "density_picture", {"time": t})
        parts.measure(f"density {where}", bound(_density, evaluator, i, t), blank, where)
    nothing = np.full((SIZE, SIZE), np.nan, np.float16)  # of a time whose solve failed
    grids = [parts.arrays.pop(f"log_density_{i}", nothing) for i in range(len(times))]
    parts.arrays |= {"log_densities": np.stack(grids), "density_times": times, "extent": evaluator.dataset.extent}


def _density(evaluator: Evaluator, i: int, t: float, _: Partial) -> tuple[Rows, Arrays]:
    with ranks.failing_together():
        grid = log_density_grid(evaluator.trained.field(), evaluator.dataset.extent, t, evaluator.device, SIZE)
    return [], {f"log_density_{i}": grid.half().numpy()}


def log_density_grid(f: VelocityField, extent: float, t_end: float, device: str, size: int) -> Tensor:
    """log p on a size x size grid of the square [-extent, extent]^2, rows by ascending second coordinate.

    Raises:
        Diverged: the solve failed, or a density is not a number or infinite; it may be zero.
    """
    axis = (torch.arange(size, device=device) + 0.5) / size * 2 * extent - extent
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    points = torch.stack([x.flatten(), y.flatten()], 1)
    log_p = log_density(f, points, t_end, Solver("dopri5", 1e-4, 1e-4)).log_p
    require(torch.where(log_p == -math.inf, 0.0, log_p), "log-densities of the grid")
    return log_p.reshape(size, size).cpu()
