"""The paths from noise to samples: their energy, how straight they are, how far from optimal, and their picture."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.datasets.base import Dataset
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.follow import OF_PATHS, Paths, follow
from bench.evaluation.parts import Arrays, Parts, Rows, attempt, filled
from bench.evaluation.pictures import FEW_IMAGES, for_plots
from bench.evaluation.transport import transport
from bench.evaluation.unfinished import Unfinished
from bench.evaluation.yardsticks import PLANS, exact_paths, optimal, plans, summed
from bench.methods.paths import Path
from bench.metrics.npe import npe
from bench.records.records import Measurement
from bench.training import ranks

MOMENTS = 6  # states kept of an image on its way
FIELD_TIMES = (0.0, 1 / 3, 2 / 3, 0.9)  # shares of the way at which a conditional field is kept, on GRID x GRID points
GRID = 20


def measure_paths(evaluator: Evaluator, parts: Parts) -> None:
    """The geometry of the paths of the first samples, and their picture; beside it that of the exact field."""
    s, dataset, quote = evaluator.config, evaluator.dataset, evaluator.drawing(evaluator.ways[evaluator.headline])
    data_dir, planned = evaluator.judge.data_dir, plans(dataset, s.w2_n)
    # Else samples in the optimal transport of the run's own points; none of images, or of a law for each sample.
    coupled = 0 if dataset.is_image or dataset.is_given else min(s.w2_n, s.path_n, len(dataset.test))
    of_energy = {**quote, **summed(s.path_rule)}
    rows = [Measurement("path_energy", n=s.path_n, settings=of_energy)]
    rows += [Measurement(metric, n=s.path_n, settings=quote) for metric in OF_PATHS[1:]]
    if planned:
        rows.append(Measurement("npe", n=s.path_n, settings={**of_energy, "plans": PLANS, "plan_n": planned}))
    elif coupled:
        rows.append(Measurement("npe", n=coupled, settings=of_energy))

    def make(_: Unfinished) -> tuple[Rows, Arrays]:
        arrays = Arrays()
        with ranks.failing_together():
            noise, field = evaluator.trained.noise(0, s.path_n), evaluator.trained.field(0, s.path_n)
            paths = follow(field, noise, evaluator.trained.model().t_end, s.path_times, evaluator.solver, s.path_rule)
            values: dict[str, Any] = paths.values
            if planned:
                values["npe"] = npe(paths.energy[0], optimal(data_dir, dataset, planned))
            elif coupled:
                own = transport(noise[:coupled], dataset.encode(dataset.test[:coupled]), data_dir)
                values["npe"] = npe(paths.energy[0], own)

            def picture() -> Rows:
                # Along any path, whatever its source is: the model has only those that start from N(0, I).
                path = evaluator.baseline.model(evaluator.trained.network()).path
                arrays.update(of_paths(dataset, path, paths))
                return []

            return filled(rows, values) + attempt([Measurement("path_picture")], picture), arrays

    parts.measure("paths", rows, make)
    if ranks.is_main() and not evaluator.trained.is_conditional:
        parts.rows += exact_paths(data_dir, dataset, evaluator.trained.model().path, s, planned)


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
