"""The stage of samples: their quality (W2 of points, feature distances of images), NFE, seconds and paths."""

from functools import partial

from bench.evaluation import pictures
from bench.evaluation.clock import reset_peak_memory
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.parts import Arrays, Parts, Rows, filled
from bench.evaluation.paths import measure_paths
from bench.evaluation.pictures import IMAGES, POINTS, Shown
from bench.evaluation.quality import Quality
from bench.evaluation.unfinished import Unfinished
from bench.records.records import Measurement


def measure_samples(evaluator: Evaluator, parts: Parts) -> None:
    n = evaluator.config.n
    for name, way in evaluator.ways.items():
        quote = evaluator.drawing(way)
        quality = evaluator.judge.quality(n, "samples", quote)
        costs = [Measurement(metric, n=n, settings=quote) for metric in ("nfe_sampling", "sampling_seconds")]
        if name == evaluator.headline:
            costs.append(Measurement("peak_memory_bytes", settings=quote))
        make = partial(_samples, evaluator, name, costs, quality)
        parts.measure(f"samples {name}", costs + quality.rows, make)
    measure_paths(evaluator, parts)
    parts.rows += evaluator.judge.floor(n)


def _samples(
    evaluator: Evaluator, name: str, costs: Rows, quality: Quality, unfinished: Unfinished
) -> tuple[Rows, Arrays]:
    s, first = evaluator.config, name == evaluator.headline
    reset_peak_memory(evaluator.device)
    shown = Shown(0 if not first else IMAGES if evaluator.dataset.is_image else POINTS)
    nfe, seconds = evaluator.drawn(name, evaluator.ways[name], s.batch, quality, unfinished, shown)
    rows = filled(costs, {"nfe_sampling": nfe, "sampling_seconds": seconds, "peak_memory_bytes": evaluator.peak()})
    arrays = pictures.of_samples(evaluator.dataset, shown.gathered()) if first else {}
    return rows + quality.measured(), arrays
