"""Intervals and tests of the mean of a few independent values, one per seed, on one dataset or on several, by scipy.

The mean over D independent datasets of m_d independent values e[d, s] each is that of the datasets' own means:

    mean = 1/D sum_d mean_s e[d, s],    error^2 = sum_d v_d,    v_d = var_s e[d, s] / (m_d D^2),
    T = (mean - bound) / error,         nu = (sum_d v_d)^2 / sum_d v_d^2 / (m_d - 1)

with T of Student's distribution of nu degrees of freedom (Welch 1947, Satterthwaite 1946), exactly so on one dataset,
where nu = m - 1. Intervals are at 95%, tests one-sided: that one, or Fisher's sign-flip test, which compares the mean
with those of all patterns of the values' signs and assumes no more than symmetry.

Values that are all equal on every dataset say nothing of their noise: T is infinite for them, however few they are.
They are tested by their signs, p = 2^-m for m of them on one side of the bound, and have no interval.
"""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from pandas import DataFrame

LEAST_SEEDS = 3  # of an interval that is drawn; with two it is 12.7 standard errors wide and hides all else
EXACT = 20  # values whose million patterns of signs are all tried
LEAST_RANKED = 6  # values of which ranks can say something at 5%: the least p of five is 0.06
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


def freedom(variances: Any, freedoms: Any) -> Any:
    """nu of a sum of independent variances, along the first axis, with degrees of freedom of their own."""
    variances, freedoms = np.asarray(variances), np.asarray(freedoms)
    return variances.sum(0) ** 2 / (variances**2 / freedoms.reshape(-1, *[1] * (variances.ndim - 1))).sum(0)


def welch(difference: float, deviations: Sequence[float], numbers: Sequence[int]) -> tuple[float, float]:
    """Half-width of the 95% interval of a difference of two independent means, and the p-value of its being 0.

    The means are of `numbers` of values, at least two each, whose `deviations` are not both 0:
    t = difference / sqrt(v1 + v2), v = s^2 / n, of the `freedom` of v1 and v2 (Welch 1947).
    """
    from scipy.special import stdtr, stdtrit

    v = [s**2 / n for s, n in zip(deviations, numbers, strict=True)]
    nu = freedom(v, [n - 1 for n in numbers])
    error = math.sqrt(sum(v))
    return float(stdtrit(nu, 0.975) * error), float(2 * stdtr(nu, -abs(difference) / error))


def repeats(rows: "DataFrame") -> tuple[float | None, int]:
    """Standard error and number of the repeats that the first value of a frame is the mean of."""
    first = rows.iloc[0]
    return first.stderr, int(first.parsed.get("repeats", 1))


def repeated(stderr: float | None, n: int) -> float:
    """Half-width of the 95% interval of a mean of n repeats by its standard error, NaN for one repeat."""
    return math.nan if stderr is None or n < 2 else float(half_width(stderr * n**0.5, n))


def within_runs(stderrs: Sequence[float | None], n: int) -> float:
    """Half-width of the 95% interval of a run's mean of n repeats, by the deviation pooled over runs.

    NaN for one repeat, or without a standard error of each run.
    """
    from scipy.special import stdtrit

    errors = np.array([math.nan if stderr is None else stderr for stderr in stderrs], float)
    if n < 2 or not len(errors):
        return math.nan
    return float(stdtrit(len(errors) * (n - 1), 0.975) * np.sqrt(np.square(errors).mean()))


def one_more(stderr: float | None, n: int) -> float:
    """Half-width of the 95% interval, around the mean of n repeats, of one repeat more: t s sqrt(1 + 1 / n)."""
    return repeated(stderr, n) * (n + 1) ** 0.5


def one_more_of(rows: "DataFrame") -> float:
    """Half-width of the 95% interval, around the mean over S runs, of one repeat of one more run; NaN without any.

    With the variance b of the runs' means, and w of the n repeats within a run, it is

        t (b (1 + 1/S) + w (1 - 1/n))^(1/2)

    with t of the `freedom` of both (S - 1, and S (n - 1)). Runs of equal means are one run, of `one_more`.
    """
    from scipy.special import stdtrit

    runs = rows.drop_duplicates("run_id")
    s, (stderr, n) = len(runs), repeats(rows)
    if runs.value.nunique() < 2:
        return one_more(stderr, n)
    v, freedoms = [float(runs.value.var()) * (1 + 1 / s)], [s - 1]
    if n > 1:
        v.append(float((runs.stderr.astype(float) ** 2).mean()) * (n - 1))
        freedoms.append(s * (n - 1))
    return float(stdtrit(freedom(v, freedoms), 0.975) * math.sqrt(sum(v)))


class MeanOverSets:
    """The mean over datasets of values e[d] (..., m_d), at least two each; what it has is of their shape (...).

    Attributes:
        error: its standard error, 0 where values are equal on every dataset.
        freedom: nu, NaN there.
    """

    def __init__(self, sets: Sequence[Any]) -> None:
        self.sets = [np.asarray(values, float) for values in sets]
        means = np.stack([values.mean(-1) for values in self.sets])
        m = [values.shape[-1] for values in self.sets]
        v = [np.where(_equal(x), 0.0, x.var(-1, ddof=1)) / (n * len(m) ** 2) for x, n in zip(self.sets, m, strict=True)]
        self.mean, self.error = means.mean(0), np.sqrt(np.sum(v, 0))
        with np.errstate(invalid="ignore"):
            self.freedom = freedom(v, [n - 1 for n in m])

    @property
    def half_width(self) -> Any:
        """Of the 95% interval, NaN without an error."""
        from scipy.special import stdtrit

        return stdtrit(self.freedom, 0.975) * self.error

    def below_and_above(self, bound: float = 0.0) -> tuple[Any, Any]:
        """One-sided p-values of the mean being below and above a bound."""
        from scipy.special import stdtr

        with np.errstate(invalid="ignore", divide="ignore"):
            t = (self.mean - bound) / self.error
        values = np.concatenate(self.sets, -1) - bound
        by_sign, slack = 0.5 ** values.shape[-1], ROUNDING * abs(bound)

        def p(side: int) -> Any:
            on_side = np.where((side * values < -slack).all(-1), by_sign, 1.0)
            return np.where(self.error > 0, stdtr(self.freedom, side * t), on_side)

        return p(1), p(-1)


def _equal(values: Any) -> Any:
    """Whether values (..., m) agree but for rounding, so that their deviation says nothing of their noise."""
    mean = values.mean(-1, keepdims=True)
    return (abs(values - mean) <= ROUNDING * abs(mean)).all(-1)


def sign_flip(sets: Sequence[Any], bound: float = 0.0) -> tuple[float, float]:
    """The p-values of `MeanOverSets` by all patterns of signs; beyond EXACT values by Student's t."""
    from scipy.stats import permutation_test

    shares = np.concatenate([(np.asarray(values) - bound) / len(values) for values in sets])
    if len(shares) > EXACT:
        below, above = MeanOverSets(sets).below_and_above(bound)
        return float(below), float(above)
    exact: dict[str, Any] = {"permutation_type": "samples", "n_resamples": math.inf, "batch": 2**14}
    tests = [permutation_test((shares,), np.sum, alternative=side, **exact) for side in ("less", "greater")]
    return float(tests[0].pvalue), float(tests[1].pvalue)


def signed_rank(values: Sequence[float]) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test, exact, of the values' distribution about 0; NaN below six."""
    from scipy.stats import wilcoxon

    return float(wilcoxon(values).pvalue) if len(values) >= LEAST_RANKED and any(values) else math.nan
