"""The stage of samples: their quality (W2 of points, feature distances of images), NFE, seconds and paths."""

import math
from functools import partial as bound

from bench.evaluation import pictures
from bench.evaluation.clock import reset_peak_memory
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.partial import Partial
from bench.evaluation.parts import Arrays, Parts, Rows, attempt
from bench.evaluation.paths import measure_paths
from bench.evaluation.pictures import IMAGES, POINTS, Shown
from bench.evaluation.quality import quoted
from bench.evaluation.trained import Way
from bench.records.records import Measurement


def measure_samples(evaluator: Evaluator, parts: Parts) -> None:
    for name, way in evaluator.ways.items():
        parts.measure(f"samples {name}", bound(_samples, evaluator, name, way), bound(_no_samples, evaluator, name))
    measure_paths(evaluator, parts)
    floor = bound(evaluator.judge.floor, evaluator.config.n)
    parts.rows += attempt(floor, floor)


def _samples(evaluator: Evaluator, name: str, way: Way, partial: Partial) -> tuple[Rows, Arrays]:
    s, first = evaluator.config, name == evaluator.headline
    reset_peak_memory(evaluator.device)
    quality = evaluator.judge.quality(s.n)
    shown = Shown(0 if not first else IMAGES if evaluator.dataset.is_image else POINTS)
    nfe, seconds = evaluator.drawn(name, way, s.n, s.batch, quality, partial, shown)
    rows = [Measurement("nfe_sampling", nfe, n=s.n), Measurement("sampling_seconds", seconds, n=s.n)]
    rows += [evaluator.peak()] if first else []
    arrays = pictures.of_samples(evaluator.dataset, shown.gathered()) if first else {}
    return quoted(rows + quality.measured(), evaluator.drawing(evaluator.ways[name])), arrays


def _no_samples(evaluator: Evaluator, name: str, reason: str) -> Rows:
    n = evaluator.config.n
    counts = {
        "nfe_sampling": n,
        "sampling_seconds": n,
        **({"peak_memory_bytes": None} if name == evaluator.headline else {}),
    }
    rows = [Measurement(metric, math.nan, n=count, reason=reason) for metric, count in counts.items()]
    return quoted(rows + evaluator.judge.quality(n).measured(reason), evaluator.drawing(evaluator.ways[name]))
