"""The Inception Score, which knows no reference.

    IS = exp(E KL(p(y|x) | p(y)))                                       Salimans et al. 2016

Its error is its standard deviation over 10 splits, as papers print it.
"""

from typing import TYPE_CHECKING, Any

from bench.errors import NotApplicable
from bench.metrics.metric import Facts, register_metric

if TYPE_CHECKING:
    from bench.metrics.extractors.features import Features


SCORE = "Confidence and variety of a classifier's labels on samples."
FACTS = {"inception_score": Facts("Inception score", "", "higher", meaning=SCORE, place=36)}


def splits(samples: "Features", reference: "Features") -> dict[str, int]:
    """How many splits the score is the mean of."""
    return {"isc_splits": len(samples.members)}


@register_metric("inception_score", facts=FACTS, needs="features", data="images", settings=splits, of_classifier=True)
def inception_score(samples: "Features", *_: Any) -> tuple[float, float]:
    """By the classifier of the extractor, if its weights have one."""
    if not samples.classes:
        raise NotApplicable("the extractor's weights have no classifier")
    return samples.inception_score()
