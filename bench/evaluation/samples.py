"""The stage of samples: their quality (W2 of points, feature distances of images), NFE, seconds and paths."""

from bench.evaluation import pictures
from bench.evaluation.clock import reset_peak_memory
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.floors import floors
from bench.evaluation.parts import Arrays, Parts, Rows, filled
from bench.evaluation.paths import measure_paths
from bench.evaluation.pictures import Shown, how_many
from bench.evaluation.repeats import mean_of
from bench.evaluation.unfinished import Unfinished
from bench.records.records import Measurement
from bench.training import ranks


def measure_samples(evaluator: Evaluator, parts: Parts, curve_n: int = 0) -> None:
    """`curve_n` is the number of samples at a point of the training's curve, whose floors are measured here, too.

    A curve is measured on the validation split, if there is one, and so are they.
    """
    for name in evaluator.ways:
        _measure_way(evaluator, name, parts)
    measure_paths(evaluator, parts)
    parts.rows += floors(evaluator.judge, evaluator.config.n)
    if curve_n:
        tuned = evaluator.judge.for_tuning
        parts.rows += [row for row in floors(tuned, curve_n, "curve") if row not in parts.rows]


def _measure_way(evaluator: Evaluator, name: str, parts: Parts) -> None:
    """The mean of its repeats, each a part of its own."""
    found = [_measured(evaluator, name, index, parts) for index in range(evaluator.config.repeats)]
    if ranks.is_main():
        parts.rows += mean_of(found)


def _measured(evaluator: Evaluator, name: str, index: int, parts: Parts) -> Rows:
    """One repeat of a way."""
    repeats, first = evaluator.config.repeats, name == evaluator.headline
    title = f"{name}-repeat-{index}" if index else name
    again = evaluator.repeat(index)
    way, n = again.ways[name], again.config.n
    quote = again.drawing(way) | ({"repeats": repeats} if repeats > 1 else {})
    quality = again.judge.quality(n, "samples", quote)
    costs = [Measurement(metric, n=n, settings=quote) for metric in ("nfe_sampling", "sampling_seconds")]
    costs += [Measurement("peak_memory_bytes", settings=quote)] if first else []

    def make(unfinished: Unfinished) -> tuple[Rows, Arrays]:
        reset_peak_memory(again.device)
        shown = Shown(how_many(again.dataset) if first and not index else 0)
        nfe, seconds = again.drawn(title, way, again.config.batch, quality, unfinished, shown)
        spent = {"nfe_sampling": nfe, "sampling_seconds": seconds, "peak_memory_bytes": again.peak()}
        arrays = pictures.of_samples(again.dataset, shown.gathered()) if shown.n else {}
        return filled(costs, spent) + quality.measured(), arrays

    return parts.part(f"samples {title}", costs + quality.rows, make)
