"""A point of the validation curve: the NLL and the distance of a few samples."""

from bench.config.settings import Likelihood
from bench.evaluation import pictures
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.likelihood import measure_route
from bench.evaluation.parts import Arrays, Parts, Rows, filled
from bench.evaluation.pictures import Shown
from bench.evaluation.routes import routes
from bench.evaluation.unfinished import Unfinished
from bench.records.records import Measurement


def measure_curve(evaluator: Evaluator, config: Likelihood, parts: Parts, shown: Shown) -> None:
    """The NLL as `config` says, and samples as many; `shown` keeps some of them, for a look at them."""
    n = config.n
    if not (evaluator.dataset.is_image and evaluator.dataset.is_given):
        model = evaluator.trained.model()
        for route in routes(evaluator.trained, config):
            if route.metric == "bound" or model.velocity or model.log_prob:
                measure_route(evaluator, route, parts, f"validation {route.metric}")
    way, batch = evaluator.ways[evaluator.headline], min(n, evaluator.config.batch)
    quote = evaluator.drawing(way, batch)
    quality = evaluator.judge.quality(n, "curve", quote)
    cost = [Measurement("nfe_sampling", n=n, settings=quote)]

    def distance(unfinished: Unfinished) -> tuple[Rows, Arrays]:
        nfe, _ = evaluator.drawn("curve", way, batch, quality, unfinished, shown)
        arrays = pictures.of_samples(evaluator.dataset, shown.gathered()) if shown.n else {}
        return quality.measured() + filled(cost, {"nfe_sampling": nfe}), arrays

    parts.measure("validation distance", quality.rows + cost, distance)
