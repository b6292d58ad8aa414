"""A point of the validation curve: the NLL and the distance of a few samples."""

from bench.config.settings import Likelihood
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.likelihood import measure_route
from bench.evaluation.parts import Arrays, Parts, Rows, filled
from bench.evaluation.routes import routes
from bench.evaluation.unfinished import Unfinished
from bench.records.records import Measurement


def measure_curve(evaluator: Evaluator, n: int, config: Likelihood, parts: Parts) -> None:
    if not (evaluator.dataset.is_image and evaluator.dataset.is_given):
        few = Likelihood(n=n, batch=min(n, config.batch), divergence=config.divergence)
        model = evaluator.trained.model()
        for route in routes(evaluator.trained, few):
            if route.metric == "bound" or model.velocity or model.log_prob:
                measure_route(evaluator, route, parts, f"validation {route.metric}")
    way, batch = evaluator.ways[evaluator.headline], min(n, evaluator.config.batch)
    quote = evaluator.drawing(way, batch)
    quality = evaluator.judge.quality(n, "curve", quote)
    cost = [Measurement("nfe_sampling", n=n, settings=quote)]

    def distance(unfinished: Unfinished) -> tuple[Rows, Arrays]:
        nfe, _ = evaluator.drawn("curve", way, batch, quality, unfinished)
        return quality.measured() + filled(cost, {"nfe_sampling": nfe}), {}

    parts.measure("validation distance", quality.rows + cost, distance)
