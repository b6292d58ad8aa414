"""The squared maximum mean discrepancy between samples and held-out points, with Gaussian kernels.

    MMD^2(P, Q) = E k(X, X') + E k(Y, Y') - 2 E k(X, Y)                              Gretton et al. 2012
    k(x, y) = mean over s in {4, 2, 1, 1/2, 1/4} of exp(-|x - y|^2 / (2 (s h)^2))

with the means over pairs of different points, which makes it unbiased for samples that are independent of the held-out
points; those that are given the same as these are not, and lie a little below 0. h is the median distance between two
of the first 1000 held-out points, to three digits: no sample has a part in it. k(x, x) = 1, so MMD^2 is at most 2.
"""

from typing import TYPE_CHECKING, Any

from bench.errors import NotApplicable
from bench.metrics.distances import blocks
from bench.metrics.metric import Facts, register_metric

if TYPE_CHECKING:
    from torch import Tensor

SCALES, OF_MEDIAN = (4.0, 2.0, 1.0, 0.5, 0.25), 1000  # each scale is half the one before
MEANING = (
    "Squared maximum mean discrepancy of samples and held-out data under Gaussian kernels, unbiased: 0 on average for "
    "a perfect model, and negative by chance; a little below 0 on average where samples are given what that data is."
)
FACTS = {"mmd": Facts("MMD²", "", "lower", meaning=MEANING, place=23)}


# The rule alone: the median itself is of the data, which may be other draws for each seed.
SETTINGS = {"scales": list(SCALES), "of_median": OF_MEDIAN}


def bandwidths(reference: "Tensor") -> list[float]:
    """Deviations of the Gaussians; NotApplicable if the median distance is 0."""
    import torch

    few = reference[:OF_MEDIAN].flatten(1).double()
    median = float(f"{float(torch.pdist(few).median()):.3g}")
    if not median:
        raise NotApplicable("the median distance between held-out points is 0, and no kernel's width follows from it")
    return [scale * median for scale in SCALES]


@register_metric(
    "mmd",
    facts=FACTS,
    data="points",
    in_curve=True,
    in_sweep=True,
    settings=lambda *_: SETTINGS,
    limit=10_000,
    least=2,
)
def mmd(samples: "Tensor", reference: "Tensor", *_: Any) -> float:
    """Squared maximum mean discrepancy to held-out points, with Gaussian kernels, unbiased.

    Points are (n, D) and (m, D), n and m at least 2. Time is O((n + m)^2). NotApplicable if the median distance is 0.
    """
    widths = bandwidths(reference)
    within = [(_sum(x, x, widths) - len(x)) / (len(x) * (len(x) - 1)) for x in (samples, reference)]
    return sum(within) - 2 * _sum(samples, reference, widths) / (len(samples) * len(reference))


def _sum(x: "Tensor", y: "Tensor", widths: list[float]) -> float:
    """Sum of k over all pairs: with half the deviation a Gaussian is the fourth power of the one before."""
    total = 0.0
    for found in blocks(x, y):
        values = found.square_().mul_(-0.5 / widths[0] ** 2).exp_()
        total += float(values.sum())
        for _ in widths[1:]:
            total += float(values.square_().square_().sum())
    return total / len(widths)
