"""Precision and recall by neighbours in features."""

from bench.metrics.metric import Facts, declare

declare(
    "precision_recall",
    data="images",
    precision=Facts(
        "Precision",
        direction="higher",
        meaning="Share of samples that lie within the data's neighbourhood in features.",
    ),
    recall=Facts(
        "Recall",
        direction="higher",
        meaning="Share of data that lies within the samples' neighbourhood in features.",
    ),
)
