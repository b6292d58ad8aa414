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
from bench.evaluation.trained import Draw, nfe_row, seconds_row
from bench.records.records import Measurement


def measure_samples(evaluator: Evaluator, parts: Parts) -> None:
    for name, draw in evaluator.ways.items():
        parts.measure(f"samples {name}", bound(_samples, evaluator, name, draw), bound(_no_samples, evaluator, name))
    measure_paths(evaluator, parts)
    floor = bound(evaluator.judge.floor, evaluator.config.n)
    parts.rows += attempt(floor, floor)


def _samples(evaluator: Evaluator, name: str, draw: Draw, partial: Partial) -> tuple[Rows, Arrays]:
    s, settings, first = evaluator.config, evaluator.sampler(name), name == evaluator.headline
    reset_peak_memory(evaluator.device)
    quality = evaluator.judge.quality(evaluator.config.n)
    shown = Shown(0 if not first else IMAGES if evaluator.dataset.is_image else POINTS)
    nfe, seconds = evaluator.drawn(name, draw, s.n, s.batch, quality, partial, shown)
    rows = [nfe_row(nfe, s.n, settings), seconds_row(seconds, s.n, settings)]
    if first:
        rows.append(evaluator.peak(settings))
    rows += quoted(quality.measured(), settings)
    return rows, pictures.of_samples(evaluator.dataset, shown.gathered()) if first else {}


def _no_samples(evaluator: Evaluator, name: str, reason: str) -> Rows:
    n, settings = evaluator.config.n, evaluator.sampler(name)
    rows = [nfe_row(math.nan, n, settings, reason), seconds_row(math.nan, n, settings, reason)]
    if name == evaluator.headline:
        rows.append(Measurement("peak_memory_bytes", math.nan, settings=settings, reason=reason))
    return rows + quoted(evaluator.judge.quality(evaluator.config.n).measured(reason), settings)
