"""The Inception Score, which knows no reference.

    IS = exp(E KL(p(y|x) | p(y)))                                       Salimans et al. 2016

Its error is its standard deviation over 10 splits, as papers print it.
"""

from typing import TYPE_CHECKING, Any

from bench.errors import NotApplicable
from bench.metrics.metric import register_metric

if TYPE_CHECKING:
    from bench.metrics.extractors.features import Features


@register_metric(
    "inception_score",
    title="Inception score",
    direction="higher",
    needs="features",
    data="images",
    settings=lambda samples, reference: {"isc_splits": len(samples.members)},
    of_classifier=True,
    meaning="Confidence and variety of a classifier's labels on samples.",
    place=34,
)
def inception_score(samples: "Features", *_: Any) -> tuple[float, float]:
    """By the classifier of the extractor, if its weights have one."""
    if not samples.classes:
        raise NotApplicable("the extractor's weights have no classifier")
    return samples.inception_score()
