"""What p-values decide of claims: one word each, so that few words of a family are wrong.

A claim has C comparisons, each with one-sided p-values of its effect being below the claim's bound and above it:

    supported      p = max_c p_below                 every effect is below the bound (an intersection-union test)
    tied           both this with the bound raised by the margin and the next with it lowered: no effect is above
                   bound + margin, and some is above bound - margin; of one comparison these are the two one-sided
                   tests of equivalence
    contradicted   p = min(1, C min_c p_above)       some effect is above it (Bonferroni)
    undecided      everything else

The first of these that is given is the word, so what is above the bound by less than the margin is tied.

The p-values of the K claims of a family are adjusted word by word (Holm 1979): the k-th smallest is multiplied by
K - k + 1. A word is given for an adjusted p below ALPHA / 2. So among all claims of a family the chance of any wrong
"supported" is at most ALPHA / 2, and so are those of any wrong "contradicted" and of any wrong "tied".

All functions take arrays: p-values have the comparisons, or the claims, along their first axis.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

ALPHA = 0.05
LEVEL = ALPHA / 2
Word = Literal["supported", "contradicted", "tied", "undecided"]
WORDS: tuple[Word, ...] = get_args(Word)
FIRST: tuple[Word, ...] = ("supported", "tied", "contradicted")  # of several that are given


class Tails(NamedTuple):
    """One-sided p-values of an effect: below and above its bound, below bound + margin, above bound - margin.

    The last two are 1 without a margin.
    """

    below: Any = 1.0
    above: Any = 1.0
    below_margin: Any = 1.0
    above_margin: Any = 1.0

    @classmethod
    def of(cls, test: Callable[[float], tuple[Any, Any]], bound: float, margin: float = math.nan) -> "Tails":
        """By a test of an effect against a number, which gives the p-values of its being below and above."""
        below, above = test(bound)
        if math.isnan(margin):
            return cls(below, above, *(np.ones_like(p) for p in (below, above)))
        return cls(below, above, test(bound + margin)[0], test(bound - margin)[1])


class Evidence(NamedTuple):
    """p-values of the words on a claim, the smaller the stronger."""

    supported: Any
    contradicted: Any
    tied: Any


def evidence(comparisons: Sequence[Tails]) -> Evidence:
    """What the comparisons of one claim say together."""
    below, above, below_margin, above_margin = (np.stack(side) for side in zip(*comparisons, strict=True))

    def some(p: Any) -> Any:
        return np.minimum(1.0, len(p) * p.min(0))

    return Evidence(below.max(0), some(above), np.maximum(below_margin.max(0), some(above_margin)))


def holm(p: Any) -> Any:
    """Adjusted p-values of the claims of a family, which are along the first axis."""
    p = np.asarray(p, float)
    order = p.argsort(0)
    steps = np.arange(len(p), 0, -1).reshape(-1, *[1] * (p.ndim - 1))
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.maximum.accumulate(np.take_along_axis(p, order, 0) * steps, 0), 0)
    return np.minimum(1.0, adjusted)


def decided(family: Sequence[Evidence]) -> tuple[Any, Evidence]:
    """The words on the claims of a family, as places in WORDS, and how many claims no such word was given to."""
    given = Evidence(*(holm(np.stack(p)) < LEVEL for p in zip(*family, strict=True)))
    words = np.select([getattr(given, word) for word in FIRST], [*map(WORDS.index, FIRST)], WORDS.index("undecided"))
    return words, Evidence(*((~of).sum(0) for of in given))


class Spread(NamedTuple):
    """Where an effect lies, on the scale that it is tested on: what a guess of the seeds needed is made from.

    Attributes:
        excess: its mean over the bound.
        error, freedom: of that mean (bench/report/statistics.py).
        m: values a dataset, of which there are `sets`.
        margin: NaN without one.
    """

    excess: float
    error: float
    freedom: float
    m: int
    sets: int
    margin: float


def needed(effects: Sequence[Spread], left: Evidence) -> float:
    """About how many values a dataset would decide an undecided claim, if effects and their noise stay as they are.

    A mean that is `away` from what it is tested against, at m values, with an interval of this half-width at the level
    of its test, is told from it at m (half / away)^2. Inf if none would.
    """
    c = len(effects)

    def at(effect: Spread, away: float, claims: int, comparisons: int = 1) -> float:
        from scipy.special import stdtrit

        level = LEVEL / max(claims, 1) / comparisons
        if away <= 0:
            return math.inf
        if effect.error == 0:  # all values agree, and are tested by their signs
            return math.floor(math.log2(1 / level) / effect.sets) + 1
        return float(effect.m * (stdtrit(effect.freedom, 1 - level) * effect.error / away) ** 2)

    supported = max(at(e, -e.excess, left.supported) for e in effects)
    contradicted = min(at(e, e.excess, left.contradicted, c) for e in effects)
    tied = math.inf
    if not any(math.isnan(e.margin) for e in effects):
        no_lag = max(at(e, e.margin - e.excess, left.tied) for e in effects)
        tied = max(no_lag, min(at(e, e.margin + e.excess, left.tied, c) for e in effects))
    return max(_ceil(min(supported, contradicted, tied)), 1 + max(e.m for e in effects))


def _ceil(x: float) -> float:
    return math.ceil(x) if math.isfinite(x) else x
