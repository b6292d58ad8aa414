"""The paths from noise to samples: their energy, how straight they are, how far from optimal, and their picture."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.datasets.base import Dataset
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.parts import Arrays, Parts, Rows, attempt, filled
from bench.evaluation.pictures import FEW_IMAGES, for_plots
from bench.evaluation.transport import transport
from bench.evaluation.unfinished import Unfinished
from bench.methods.finite import all_finite
from bench.methods.ode import Solver, VelocityField, solve
from bench.methods.paths import Path
from bench.metrics.npe import npe
from bench.metrics.path_energy import path_energy
from bench.metrics.straightness import straightness
from bench.metrics.tortuosity import tortuosity
from bench.records.records import Measurement
from bench.training import ranks

OF_PATHS = ("path_energy", "straightness", "tortuosity")
MOMENTS = 6  # states kept of an image on its way
FIELD_TIMES = (0.0, 1 / 3, 2 / 3, 0.9)  # shares of the way at which a conditional field is kept, on GRID x GRID points
GRID = 20


def measure_paths(evaluator: Evaluator, parts: Parts) -> None:
    """Energy, straightness and tortuosity of the paths of the first samples, and their picture."""
    s, dataset, quote = evaluator.config, evaluator.dataset, evaluator.drawing(evaluator.ways[evaluator.headline])
    # Samples in the optimal transport that the paths are compared with; none of images, or of a law for each sample.
    coupled = 0 if dataset.is_image or dataset.is_given else min(s.w2_n, s.path_n, len(dataset.test))
    counts = {**dict.fromkeys(OF_PATHS, s.path_n), **({"npe": coupled} if coupled else {})}
    summed = {"rule": s.path_rule} if s.path_rule != "trapezoid" else {}
    own = {"path_energy": summed, "npe": summed}
    rows = [Measurement(metric, n=n, settings={**quote, **own.get(metric, {})}) for metric, n in counts.items()]

    def make(_: Unfinished) -> tuple[Rows, Arrays]:
        arrays = Arrays()
        with ranks.failing_together():
            noise, field = evaluator.trained.noise(0, s.path_n), evaluator.trained.field(0, s.path_n)
            paths = follow(field, noise, evaluator.trained.model().t_end, s.path_times, evaluator.solver, s.path_rule)
            values: dict[str, Any] = paths.values
            if coupled:
                data = dataset.encode(dataset.test[:coupled])
                values["npe"] = npe(paths.energy[0], transport(noise[:coupled], data, evaluator.judge.data_dir))

            def picture() -> Rows:
                # Along any path, whatever its source is: the model has only those that start from N(0, I).
                path = evaluator.baseline.model(evaluator.trained.network()).path
                arrays.update(of_paths(dataset, path, paths))
                return []

            return filled(rows, values) + attempt([Measurement("path_picture")], picture), arrays

    parts.measure("paths", rows, make)


@dataclass(frozen=True)
class Paths:
    """States (T, n, ...) at `times` (T,), and the means over samples with their standard errors."""

    times: Tensor
    x: Tensor
    energy: tuple[float, float]
    straightness: tuple[float, float]
    tortuosity: tuple[float, float]

    @property
    def values(self) -> dict[str, tuple[float, float]]:
        """By the names OF_PATHS."""
        return dict(zip(OF_PATHS, (self.energy, self.straightness, self.tortuosity), strict=True))


def follow(f: VelocityField, x0: Tensor, t_end: float, points: int, solver: Solver, rule: str = "trapezoid") -> Paths:
    """Solve from x0; integrate speed by `rule` and deviation by the trapezoidal one; Diverged if it is not finite."""
    times = torch.linspace(0.0, t_end, points, dtype=torch.float64)
    with torch.no_grad():
        states = solve(f, x0, tuple(times.tolist()), solver)
        v = torch.stack([f(t.to(x0), x) for t, x in zip(times, states, strict=True)]).flatten(2)
    chord = (states[-1] - states[0]).flatten(1)
    grid = times.to(v)
    energy, deviation = path_energy(v, grid, rule), straightness(v, chord, grid)
    all_finite(torch.stack([energy, deviation], 1), "paths")
    return Paths(times, states, _mean(energy), _mean(deviation), tortuosity(states.flatten(2)))


def _mean(values: Tensor) -> tuple[float, float]:
    return float(values.mean()), float(values.std() / len(values) ** 0.5)


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
        arrays |= conditional(path, dataset.encode(dataset.test[:1])[0].cpu(), paths.x[0, :64].cpu(), dataset.extent)
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
