"""Pictures of a density in two dimensions: its logarithm on a grid, on the way from x0 to the data."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from bench.evaluation.evaluator import Evaluator
from bench.evaluation.parts import Arrays, Parts, Rows
from bench.evaluation.routes import prior
from bench.evaluation.unfinished import Unfinished
from bench.methods.density import log_density, log_normal
from bench.methods.finite import all_finite
from bench.methods.ode import Solver, VelocityField
from bench.records.records import Measurement
from bench.training import ranks

TIMES = (0.2, 0.4, 0.6, 0.8, 1.0)  # shares of the way to t_end at which a density is kept
SIZE = 80  # points a side of its grid

LogProb = Callable[[Tensor], Tensor]


def measure_density(evaluator: Evaluator, parts: Parts) -> None:
    """A picture at each time by the ODE; of a model with a density of its own that density, at the end alone."""
    model, trained = evaluator.trained.model(), evaluator.trained
    times = [model.t_end] if model.log_prob else [share * model.t_end for share in TIMES]
    if trained.is_conditional or not (trained.dataset.keeps_density and (model.log_prob or model.velocity)):
        return  # what else stands in the record says why
    for i, t in enumerate(times):
        _measure_at(evaluator, i, t, parts)
    grids = {i: parts.arrays.pop(f"log_density_{i}") for i in range(len(times)) if f"log_density_{i}" in parts.arrays}
    if grids:
        nothing = np.full((SIZE, SIZE), np.nan, np.float16)  # of a time whose solve failed
        stack = np.stack([grids.get(i, nothing) for i in range(len(times))])
        parts.arrays |= {"log_densities": stack, "density_times": times, "extent": evaluator.dataset.extent}


def _measure_at(evaluator: Evaluator, i: int, t: float, parts: Parts) -> None:
    """A picture is no measurement; what is measured says why there is none."""

    def make(_: Unfinished) -> tuple[Rows, Arrays]:
        with ranks.failing_together():
            trained = evaluator.trained
            own = trained.model().log_prob or by_ode(trained.field(), t, prior(trained))
            grid = log_density_grid(own, evaluator.dataset.extent, evaluator.device, SIZE)
        return [], {f"log_density_{i}": grid.half().numpy()}

    where = f"at t = {t:.3g}"
    parts.measure(f"density {where}", [Measurement("density_picture", settings={"time": t})], make, where)


def by_ode(f: VelocityField, t_end: float, prior: LogProb = log_normal) -> LogProb:
    """The log-density at t_end of the flow of f."""
    return lambda x: log_density(f, x, t_end, Solver(rtol=1e-4, atol=1e-4), prior=prior).log_p


def log_density_grid(log_prob: LogProb, extent: float, device: str, size: int) -> Tensor:
    """log p on a size x size grid of [-extent, extent]^2, rows by ascending y; Diverged if NaN or inf."""
    axis = (torch.arange(size, device=device) + 0.5) / size * 2 * extent - extent
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    with torch.no_grad():
        log_p = log_prob(torch.stack([x.flatten(), y.flatten()], 1))
    all_finite(torch.where(log_p == -math.inf, 0.0, log_p), "log-densities of the grid")
    return log_p.reshape(size, size).cpu()
