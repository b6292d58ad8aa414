"""The mean effect of a comparison over seeds and datasets, with its interval and p-values; or what it lacks.

Datasets are independent of each other, and so are the seeds on one: intervals and p-values are those of
bench/report/statistics.py for the mean of the datasets' own means; of ratios, for the mean logarithm. Of a spread there
is one effect per dataset, and its mean is tested over datasets by Student's t, from three of them on.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from bench.papers.claims import Claim
from bench.report import numbers
from bench.report.decisions import Spread, Tails
from bench.report.effects import Comparison, Effects
from bench.report.extract import listed
from bench.report.statistics import MeanOverSets, sign_flip, signed_rank

LEAST_SETS = 3  # that a spread is tested over
UNTESTED = Tails()


@dataclass(frozen=True)
class Effect:
    """One comparison with the mean of its effects, a difference or a ratio, its interval, and one-sided p-values.

    Attributes:
        rival: with the condition: "A by euler".
        mean, low, high: the mean and its 95% interval, NaN where values that all agree, or too few, have none.
        pairs, kept: effects, and how many of them are below the claim's bound.
        noun: what there is one effect of: a seed, a pair of several datasets, or a dataset.
        p_values: by which the claim is decided (bench/report/decisions.py).
        spread: where the mean lies beside its bound, from which the seeds needed follow; None without a test.
        medians: of each dataset's effects, over the bound, on the scale that is tested.
        improvement: the mean over datasets of P(subject below rival), NaN where a side has no value of its own.
        missing: why there is no effect: "2 of 3 seeds", and what befell the others.
    """

    subject: str
    rival: str
    scale: Literal["difference", "ratio"]
    unit: str
    mean: float = math.nan
    low: float = math.nan
    high: float = math.nan
    pairs: int = 0
    kept: int = 0
    noun: str = "seed"
    p_values: Tails = UNTESTED
    spread: Spread | None = None
    medians: tuple[float, ...] = ()
    improvement: float = math.nan
    run_ids: tuple[str, ...] = ()
    missing: tuple[str, str] | None = None

    @property
    def comparison(self) -> str:
        return f"{self.subject} against {self.rival}"

    @property
    def p(self) -> float:
        """Two-sided; NaN without an effect."""
        return math.nan if self.missing else min(1.0, 2 * min(self.p_values.below, self.p_values.above))

    @property
    def margin(self) -> float:
        """What is as good as no effect, on the scale that is shown; NaN for none."""
        margin = self.spread.margin if self.spread else math.nan
        return math.exp(margin) if self.scale == "ratio" else margin

    @property
    def p_sets(self) -> float:
        """Two-sided, of Wilcoxon's test of the datasets' medians: of other datasets like these; NaN below six."""
        return signed_rank(self.medians)

    @property
    def text(self) -> str:
        """ "−0.04 [−0.05, −0.03] nats" or "× 0.62 [0.60, 0.65]"."""
        if self.missing:
            return " ".join(self.missing).strip()
        return numbers.effect(self.mean, self.low, self.high, self.scale, self.unit)


def mean_effect(each: Sequence[Effects], comparison: Comparison) -> Effect:
    """One comparison on one dataset, or its mean over several, of all seeds that were planned on both sides."""
    claim = each[0].claim
    names = [next(filter(None, (effects.label(side) for effects in each)), side) for side in comparison[:2]]
    ways = [list(dict.fromkeys(way)) for way in zip(*(effects.samplers(comparison) for effects in each), strict=True)]
    by = [f" by {way[0]}" if any(way) and len(way) == 1 else "" for way in ways]
    subject, rival = (name + how for name, how in zip(names, by, strict=True))
    rival += f" by {comparison.solver}" if comparison.solver else ""
    empty = Effect(subject, rival, *(("ratio", "") if claim.is_ratio else ("difference", each[0].unit)))

    def lacking(what: str, of: str = "", pairs: int = 0) -> Effect:
        return replace(empty, pairs=pairs, missing=(what, of))

    for side, name in zip(comparison[:2], names, strict=True):
        if several := list(dict.fromkeys(label for effects in each for label in effects.several(side))):
            return lacking("planned with several settings, of which a claim means one:", listed(several))
        if without := [effects.section.name for effects in each if effects.label(side) is None]:
            return lacking("no finished run of", name + (f" on {listed(without)}" if len(without) < len(each) else ""))
    found = [effects.of(comparison) for effects in each]
    if any(effect.empty for effect in found):
        return lacking("not measured against", rival)
    finite = [effect[np.isfinite(effect)] for effect in found]
    # A seed without a finite effect on a dataset may be the one that decides: without it nothing is decided.
    needed = [max(len(effect), claim.seeds) for effect in found]
    if short := [i for i, effect in enumerate(finite) if len(effect) < needed[i]]:
        have = sum(len(finite[i]) for i in short)
        lost = list(dict.fromkeys(why for i in short for why in each[i].lost(comparison)))
        where = f" on {listed([each[i].section.name for i in short])}" if len(each) > 1 else ""
        counted = f"{have} of {sum(needed[i] for i in short)} seeds with a finite effect{where}"
        return lacking(counted, f"({listed(lost)})" if lost else "", have)
    runs = tuple(run for effects, of in zip(each, found, strict=True) for run in effects.runs(comparison, of))
    sets, noun = [effect.to_numpy() for effect in finite], "seed" if len(each) == 1 else "pair"
    if claim.measure == "spread":
        sets, noun = [np.array([effects.spread(comparison) for effects in each])], "dataset"
        if not np.isfinite(sets).all():
            return lacking("no ratio of standard deviations against", rival)
    margin = float(np.mean([effects.margin(comparison) for effects in each]))
    improvement = float(np.mean([effects.improvement(comparison) for effects in each]))
    return replace(_tested(empty, claim, sets, margin), noun=noun, improvement=improvement, run_ids=runs)


def _tested(empty: Effect, claim: Claim, sets: list[Any], margin: float) -> Effect:
    """The effect with the mean of these over datasets, each (m_d,) or of a spread all in one, and what tests say."""
    bound, values = claim.threshold, np.concatenate(sets)
    medians = tuple(float(x - bound) for x in (values if claim.measure == "spread" else map(np.median, sets)))
    kept = int((values < bound).sum())
    found = replace(empty, pairs=len(values), kept=kept, medians=medians)
    if claim.measure == "spread" and len(values) < LEAST_SETS:
        return replace(found, mean=_exp(float(values.mean())))
    over = MeanOverSets(sets)
    test = partial(sign_flip, sets) if claim.test == "sign_flip" else over.below_and_above
    spread = Spread(
        float(over.mean) - bound, float(over.error), float(over.freedom), len(max(sets, key=len)), len(sets), margin
    )
    ends = (float(x) for x in (over.mean, over.mean - over.half_width, over.mean + over.half_width))
    mean, low, high = (_exp(x) if claim.is_ratio else x for x in ends)
    p_values = Tails(*map(float, Tails.of(test, bound, margin)))
    return replace(found, mean=mean, low=low, high=high, p_values=p_values, spread=spread)


def _exp(x: float) -> float:
    return math.inf if x >= 700 else math.exp(x)
