"""The Inception Score."""

from bench.metrics.metric import Facts, declare

declare(
    "inception_score",
    data="images",
    inception_score=Facts(
        "Inception score",
        direction="higher",
        meaning="Confidence and variety of a classifier's labels on samples.",
    ),
)
