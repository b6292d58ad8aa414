"""Intervals and tests of the mean of a few independent values, one a seed.

With m values of mean x and standard deviation s the half-width of the 95% interval is t_{0.975, m-1} s / sqrt(m), and
where the true mean is zero t = x sqrt(m) / s has Student's distribution with m - 1 degrees of freedom. Fisher's
sign-flip test compares the mean with those of all 2^m patterns of signs instead, and assumes no more than symmetry.

Values that are all equal say nothing of their noise: Student's t is infinite for them, however few they are. They are
tested by their signs, p = 2^-m for m of them on one side of zero, and have no interval.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any, NamedTuple

EXACT = 20  # values whose million patterns of signs are all tried
ROUNDING = 1e-12  # deviations below this share of the mean are those of rounding


class Interval(NamedTuple):
    """A mean over `n` seeds and the half-width of its 95% interval, NaN for one seed or values that are not finite."""

    mean: float
    half_width: float
    n: int


def t_interval(values: Iterable[float]) -> Interval:
    """Student's 95% interval of the mean of independent values."""
    import numpy as np

    x = np.asarray(list(values), dtype=float)
    with np.errstate(over="ignore", invalid="ignore"):  # values near the largest number have an infinite deviation
        mean = float(x.mean())
        if len(x) < 2 or not np.isfinite(x).all():
            return Interval(mean, math.nan, len(x))
        return Interval(mean, float(half_width(x.std(ddof=1), len(x))), len(x))


def half_width(deviation: Any, n: Any) -> Any:
    """t_{0.975, n-1} s / sqrt(n), of numbers or of arrays of them."""
    from scipy.special import stdtrit

    return stdtrit(n - 1, 0.975) * deviation / n**0.5


def equal(values: Sequence[float]) -> bool:
    """Whether values agree but for rounding, so that their deviation says nothing of their noise."""
    mean = sum(values) / len(values)
    return max(abs(x - mean) for x in values) <= ROUNDING * abs(mean)


def student(excess: Sequence[float]) -> tuple[float, float]:
    """One-sided p-values of the mean being below and above zero, by Student's t; of equal values by their signs."""
    from scipy.special import stdtr

    m = len(excess)
    mean = sum(excess) / m
    if equal(excess):
        half = 0.5**m
        return half if mean < 0 else 1.0, half if mean > 0 else 1.0
    deviation = math.sqrt(sum((x - mean) ** 2 for x in excess) / (m - 1))
    t = mean * math.sqrt(m) / deviation
    return float(stdtr(m - 1, t)), float(stdtr(m - 1, -t))


def sign_flip(excess: Sequence[float]) -> tuple[float, float]:
    """The same by the distribution of the mean over all patterns of signs; beyond EXACT values by Student's t."""
    if len(excess) > EXACT:
        return student(excess)
    observed = sum(excess)
    sums = [sum(s * x for s, x in zip(signs, excess, strict=True)) for signs in product((1, -1), repeat=len(excess))]
    slack = 1e-12 * sum(map(abs, excess))
    return (
        sum(total <= observed + slack for total in sums) / len(sums),
        sum(total >= observed - slack for total in sums) / len(sums),
    )
