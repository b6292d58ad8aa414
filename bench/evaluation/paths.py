"""The paths from noise to samples: their energy, how straight they are, how far from optimal, and their picture."""

import math
from functools import partial as bound

from bench.evaluation import pictures
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.geometry import follow
from bench.evaluation.partial import Partial
from bench.evaluation.parts import Arrays, Parts, Rows, attempt
from bench.evaluation.quality import quoted
from bench.metrics.npe import npe
from bench.records.records import Measurement
from bench.training import ranks


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
            arrays.update(pictures.of_paths(evaluator.dataset, evaluator.trained.model().path, paths))
            return []

        lost = attempt(picture, bound(pictures.lost, "path_picture", {}))
    return quoted(rows, evaluator.sampler(evaluator.headline)) + lost, arrays


def _no_paths(evaluator: Evaluator, reason: str) -> Rows:
    n = evaluator.config.path_n
    counts = {"path_energy": n, "straightness": n, "npe": _coupled(evaluator)}
    rows = [Measurement(metric, math.nan, n=n, reason=reason) for metric, n in counts.items() if n]
    return quoted(rows, evaluator.sampler(evaluator.headline))


def _coupled(evaluator: Evaluator) -> int:
    """Samples in the optimal transport that the paths are compared with; none of images."""
    config, dataset = evaluator.config, evaluator.dataset
    return 0 if dataset.is_image else min(config.w2_n, config.path_n, len(dataset.test))
