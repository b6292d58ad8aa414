"""The paths from noise to samples: their energy, how straight they are, how far from optimal, and their picture."""

import math
from dataclasses import dataclass
from functools import partial as bound

import numpy as np
import torch
from torch import Tensor

from bench.datasets.base import Dataset
from bench.evaluation import pictures
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.partial import Partial
from bench.evaluation.parts import Arrays, Parts, Rows, attempt
from bench.evaluation.pictures import FEW_IMAGES, for_plots
from bench.evaluation.quality import quoted
from bench.methods.finite import require
from bench.methods.ode import Solver, VelocityField, solve
from bench.methods.paths import Path
from bench.metrics.npe import npe
from bench.metrics.path_energy import path_energy
from bench.metrics.straightness import straightness
from bench.records.records import Measurement
from bench.training import ranks

MOMENTS = 6  # states kept of an image on its way
FIELD_TIMES = (0.0, 1 / 3, 2 / 3, 0.9)  # shares of the way at which a conditional field is kept, on GRID x GRID points
GRID = 20


def measure_paths(evaluator: Evaluator, parts: Parts) -> None:
    parts.measure("paths", bound(_paths, evaluator), bound(_no_paths, evaluator))


def _paths(evaluator: Evaluator, _: Partial) -> tuple[Rows, Arrays]:
    """Energy and straightness of the paths of the first samples, and their picture."""
    s, arrays = evaluator.config, Arrays()
    with ranks.failing_together():
        noise = evaluator.trained.noise(0, s.path_n)
        field = evaluator.trained.field(0, s.path_n)
        paths = follow(field, noise, evaluator.trained.model().t_end, s.path_times, evaluator.solver)
        rows = [
            Measurement("path_energy", paths.energy, paths.energy_stderr, s.path_n),
            Measurement("straightness", paths.straightness, paths.straightness_stderr, s.path_n),
        ]
        if n := _coupled(evaluator):
            data = evaluator.dataset.encode(evaluator.dataset.test[:n])
            rows.append(Measurement("npe", npe(paths.energy, noise[:n], data), n=n))

        def picture() -> Rows:
            # Along any path, whatever its source is: the model has only those that start from N(0, I).
            path = evaluator.baseline.model(evaluator.trained.network()).path
            arrays.update(of_paths(evaluator.dataset, path, paths))
            return []

        lost = attempt(picture, bound(pictures.lost, "path_picture", {}))
    return quoted(rows, evaluator.drawing(evaluator.ways[evaluator.headline])) + lost, arrays


def _no_paths(evaluator: Evaluator, reason: str) -> Rows:
    n = evaluator.config.path_n
    counts = {"path_energy": n, "straightness": n, "npe": _coupled(evaluator)}
    rows = [Measurement(metric, math.nan, n=n, reason=reason) for metric, n in counts.items() if n]
    return quoted(rows, evaluator.drawing(evaluator.ways[evaluator.headline]))


def _coupled(evaluator: Evaluator) -> int:
    """Samples in the optimal transport that the paths are compared with; none of images."""
    config, dataset = evaluator.config, evaluator.dataset
    return 0 if dataset.is_image else min(config.w2_n, config.path_n, len(dataset.test))


@dataclass(frozen=True)
class Paths:
    """States (T, n, ...) at `times` (T,) with the means over samples of path energy and straightness."""

    times: Tensor
    x: Tensor
    energy: float
    energy_stderr: float
    straightness: float
    straightness_stderr: float


def follow(f: VelocityField, x0: Tensor, t_end: float, points: int, solver: Solver) -> Paths:
    """Solve from the noise x0 and integrate speed and deviation over `points` times by the trapezoidal rule.

    Raises:
        Diverged: the solve failed, or speed or deviation of a path are not finite.
    """
    times = torch.linspace(0.0, t_end, points, dtype=torch.float64)
    with torch.no_grad():
        states = solve(f, x0, tuple(times.tolist()), solver)
        v = torch.stack([f(t.to(x0), x) for t, x in zip(times, states, strict=True)]).flatten(2)
    chord = (states[-1] - states[0]).flatten(1)
    grid = times.to(v)
    energy, deviation = path_energy(v, grid), straightness(v, chord, grid)
    require(torch.stack([energy, deviation], 1), "paths")
    root = len(x0) ** 0.5
    return Paths(
        times,
        states,
        float(energy.mean()),
        float(energy.std() / root),
        float(deviation.mean()),
        float(deviation.std() / root),
    )


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
