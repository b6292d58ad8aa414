"""The squared energy distance between samples and held-out points.

    D^2(P, Q) = 2 E |X - Y| - E |X - X'| - E |Y - Y'|,    X, X' ~ P, Y, Y' ~ Q       Szekely & Rizzo 2013

with the means over pairs of different points, which makes it unbiased: 0 on average for samples of the data's own law,
and negative by chance. Samples that are given the same as the held-out points are not independent of them, and lie a
little below 0 on average. It is zero only if both laws are one. It has the data's unit, not its square.
"""

from typing import TYPE_CHECKING, Any

from bench.metrics.distances import blocks
from bench.metrics.metric import Facts, register_metric

if TYPE_CHECKING:
    from torch import Tensor

MEANING = (
    "Squared energy distance 2 E|X − Y| − E|X − X'| − E|Y − Y'| between samples X and held-out data Y, unbiased: 0 on "
    "average for a perfect model, and negative by chance; a little below 0 on average where X is given what Y is."
)
FACTS = {"energy_distance": Facts("Energy distance²", "", "lower", meaning=MEANING, place=22)}


@register_metric("energy_distance", facts=FACTS, data="points", in_curve=True, in_sweep=True, limit=10_000, least=2)
def energy_distance(samples: "Tensor", reference: "Tensor", *_: Any) -> float:
    """Squared energy distance to held-out points, unbiased.

    Points are (n, D) and (m, D), n and m at least 2. Time is O((n + m)^2).
    """
    within = [_sum(x, x) / (len(x) * (len(x) - 1)) for x in (samples, reference)]
    return 2 * _sum(samples, reference) / (len(samples) * len(reference)) - sum(within)


def _sum(x: "Tensor", y: "Tensor") -> float:
    return sum(float(found.sum()) for found in blocks(x, y))
