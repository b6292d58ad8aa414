"""The Inception Score, which knows no reference.

    IS = exp(E KL(p(y|x) | p(y)))                                       Salimans et al. 2016

Its error is its standard deviation over 10 splits, as papers print it.
"""

from typing import TYPE_CHECKING, Any

from bench.errors import NotApplicable
from bench.metrics.metric import Metric, register_metric

if TYPE_CHECKING:
    from bench.metrics.extractors.features import Features


@register_metric(
    "inception_score",
    title="Inception score",
    direction="higher",
    data="images",
    meaning="Confidence and variety of a classifier's labels on samples.",
)
class InceptionScore(Metric):
    """By the classifier of the extractor, if its weights have one."""

    needs = "features"
    of_classifier = True

    def measure(self, x: "Features", reference: "Features", dataset: Any, rng: Any) -> tuple[float, float]:
        if not x.classes:
            raise NotApplicable("the extractor's weights have no classifier")
        return x.inception_score()

    def settings(self, x: "Features", reference: "Features") -> dict[str, Any]:
        return {"isc_splits": len(x.members)}
