"""The stage of samples: their quality (W2 of points, feature distances of images), NFE, seconds and paths."""

from bench.evaluation import pictures
from bench.evaluation.clock import reset_peak_memory
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.floors import floors
from bench.evaluation.parts import Arrays, Parts, Rows, filled
from bench.evaluation.paths import measure_paths
from bench.evaluation.pictures import Shown, how_many
from bench.evaluation.unfinished import Unfinished
from bench.records.records import Measurement


def measure_samples(evaluator: Evaluator, parts: Parts) -> None:
    for name in evaluator.ways:
        _measure_way(evaluator, name, parts)
    measure_paths(evaluator, parts)
    parts.rows += floors(evaluator.judge, evaluator.config.n)


def _measure_way(evaluator: Evaluator, name: str, parts: Parts) -> None:
    way, n, first = evaluator.ways[name], evaluator.config.n, name == evaluator.headline
    quote = evaluator.drawing(way)
    quality = evaluator.judge.quality(n, "samples", quote)
    costs = [Measurement(metric, n=n, settings=quote) for metric in ("nfe_sampling", "sampling_seconds")]
    costs += [Measurement("peak_memory_bytes", settings=quote)] if first else []

    def make(unfinished: Unfinished) -> tuple[Rows, Arrays]:
        reset_peak_memory(evaluator.device)
        shown = Shown(how_many(evaluator.dataset) if first else 0)
        nfe, seconds = evaluator.drawn(name, way, evaluator.config.batch, quality, unfinished, shown)
        spent = {"nfe_sampling": nfe, "sampling_seconds": seconds, "peak_memory_bytes": evaluator.peak()}
        arrays = pictures.of_samples(evaluator.dataset, shown.gathered()) if first else {}
        return filled(costs, spent) + quality.measured(), arrays

    parts.measure(f"samples {name}", costs + quality.rows, make)
