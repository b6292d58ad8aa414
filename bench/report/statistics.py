"""Intervals and tests of the mean of a few independent values, one a seed.

With m values of mean x and standard deviation s the half-width of the 95% interval is t_{0.975, m-1} s / sqrt(m), and
where the true mean is zero t = x sqrt(m) / s has Student's distribution with m - 1 degrees of freedom. Fisher's
sign-flip test compares the mean with those of all 2^m patterns of signs instead, and assumes no more than symmetry.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any, NamedTuple

EXACT = 20  # values whose million patterns of signs are all tried


class Interval(NamedTuple):
    """A mean over `n` seeds and the half-width of its 95% interval, NaN for one seed or values that are not finite."""

    mean: float
    half_width: float
    n: int


def t_interval(values: Iterable[float]) -> Interval:
    """Student's 95% interval of the mean of independent values."""
    import numpy as np

    x = np.asarray(list(values), dtype=float)
    if len(x) < 2 or not np.isfinite(x).all():
        return Interval(float(x.mean()), math.nan, len(x))
    return Interval(float(x.mean()), float(half_width(x.std(ddof=1), len(x))), len(x))


def half_width(deviation: Any, n: Any) -> Any:
    """t_{0.975, n-1} s / sqrt(n), of numbers or of arrays of them."""
    from scipy.special import stdtrit

    return stdtrit(n - 1, 0.975) * deviation / n**0.5


def student(excess: Sequence[float]) -> tuple[float, float]:
    """One-sided p-values of the mean being below and above zero, by Student's t."""
    from scipy.special import stdtr

    m = len(excess)
    mean = sum(excess) / m
    deviation = math.sqrt(sum((x - mean) ** 2 for x in excess) / (m - 1))
    if deviation <= 1e-12 * max(abs(mean), 1e-300):  # all seeds agree
        return float(mean >= 0), float(mean <= 0)
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
