"""A point of the validation curve: the NLL and the distance of a few samples."""

import math
from functools import partial as bound

from bench.config.settings import Likelihood
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.likelihood import measure_route
from bench.evaluation.partial import Partial
from bench.evaluation.parts import Arrays, Parts, Rows
from bench.evaluation.quality import quoted
from bench.evaluation.routes import routes
from bench.records.records import Measurement


def measure_curve(evaluator: Evaluator, n: int, config: Likelihood, parts: Parts) -> None:
    if not evaluator.dataset.given:
        few = Likelihood(n=n, batch=min(n, config.batch), divergence=config.divergence)
        model = evaluator.trained.model()
        for route in routes(evaluator.trained, few):
            if route.metric == "bound" or model.velocity or model.log_prob:
                measure_route(evaluator, route, parts, f"validation {route.metric}")
    parts.measure("validation distance", bound(_distance, evaluator, n), bound(_no_distance, evaluator, n))


def _distance(evaluator: Evaluator, n: int, partial: Partial) -> tuple[Rows, Arrays]:
    quality, batch, name = evaluator.judge.quality(n, "curve"), min(n, evaluator.config.batch), evaluator.headline
    nfe, _ = evaluator.drawn("curve", evaluator.ways[name], n, batch, quality, partial)
    return quoted(
        [*quality.measured(), Measurement("nfe_sampling", nfe, n=n)], evaluator.drawing(evaluator.ways[name], batch)
    ), {}


def _no_distance(evaluator: Evaluator, n: int, reason: str) -> Rows:
    rows = evaluator.judge.quality(n, "curve").measured(reason)
    rows.append(Measurement("nfe_sampling", math.nan, n=n, reason=reason))
    return quoted(rows, evaluator.drawing(evaluator.ways[evaluator.headline], min(n, evaluator.config.batch)))
