"""Intervals and tests of the mean of a few independent values, one per seed, by scipy.

Intervals are Student's at 95%. Tests are one-sided: Student's t, or Fisher's sign-flip test, which compares the mean
with those of all 2^m patterns of signs and assumes no more than symmetry.

Values that are all equal say nothing of their noise: Student's t is infinite for them, however few they are. They are
tested by their signs, p = 2^-m for m of them on one side of zero, and have no interval.
"""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from pandas import DataFrame

LEAST_SEEDS = 3  # of an interval that is drawn; with two it is 12.7 standard errors wide and hides all else
EXACT = 20  # values whose million patterns of signs are all tried
ROUNDING = 1e-12  # deviations below this share of the mean are those of rounding


class Interval(NamedTuple):
    """A mean over `n` seeds and the half-width of its 95% interval, NaN for one seed or values that are not finite."""

    mean: float
    half_width: float
    n: int


def t_interval(values: Iterable[float]) -> Interval:
    """Student's 95% interval of the mean of independent values."""
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


def deviation(half: Any, n: Any) -> Any:
    """s of n values, by the half-width of the interval of their mean."""
    return half / half_width(1.0, n)


def welch(difference: float, deviations: Sequence[float], numbers: Sequence[int]) -> tuple[float, float]:
    """Half-width of the 95% interval of a difference of two independent means, and the p-value of its being 0.

    The means are of `numbers` of values, at least two each, whose `deviations` are not both 0:
    t = difference / sqrt(v1 + v2), v = s^2 / n, of nu = (v1 + v2)^2 / (v1^2 / (n1 - 1) + v2^2 / (n2 - 1)) degrees of
    freedom (Welch 1947).
    """
    from scipy.special import stdtr, stdtrit

    v = [s**2 / n for s, n in zip(deviations, numbers, strict=True)]
    nu = sum(v) ** 2 / sum(one**2 / (n - 1) for one, n in zip(v, numbers, strict=True))
    error = math.sqrt(sum(v))
    return float(stdtrit(nu, 0.975) * error), float(2 * stdtr(nu, -abs(difference) / error))


def repeats(rows: "DataFrame") -> tuple[float | None, int]:
    """Standard error and number of the repeats that the first value of a frame is the mean of."""
    first = rows.iloc[0]
    return first.stderr, int(first.parsed.get("repeats", 1))


def repeated(stderr: float | None, n: int) -> float:
    """Half-width of the 95% interval of a mean of n repeats by its standard error, NaN for one repeat."""
    return math.nan if stderr is None or n < 2 else float(half_width(stderr * n**0.5, n))


def one_more(stderr: float | None, n: int) -> float:
    """Half-width of the 95% interval, around the mean of n repeats, of one repeat more: t s sqrt(1 + 1 / n)."""
    return repeated(stderr, n) * (n + 1) ** 0.5


def equal(values: Sequence[float]) -> bool:
    """Whether values agree but for rounding, so that their deviation says nothing of their noise."""
    mean = sum(values) / len(values)
    return max(abs(x - mean) for x in values) <= ROUNDING * abs(mean)


def student(excess: Sequence[float]) -> tuple[float, float]:
    """One-sided p-values of the mean being below and above zero, by Student's t; of equal values by their signs."""
    from scipy.stats import ttest_1samp

    if equal(excess):
        half = 0.5 ** len(excess)
        return half if excess[0] < 0 else 1.0, half if excess[0] > 0 else 1.0
    tests = [ttest_1samp(excess, 0, alternative=side) for side in ("less", "greater")]
    return float(tests[0].pvalue), float(tests[1].pvalue)


def sign_flip(excess: Sequence[float]) -> tuple[float, float]:
    """The same by the distribution of the mean over all patterns of signs; beyond EXACT values by Student's t."""
    from scipy.stats import permutation_test

    if len(excess) > EXACT:
        return student(excess)
    exact: dict[str, Any] = {"permutation_type": "samples", "n_resamples": math.inf, "batch": 2**14}
    tests = [permutation_test((excess,), np.sum, alternative=side, **exact) for side in ("less", "greater")]
    return float(tests[0].pvalue), float(tests[1].pvalue)
