"""The mean effect of a comparison over seeds and datasets, with its interval and p-values; or what it lacks.

Intervals are 95% t-intervals of the mean effect; of ratios, of the mean logarithm. Effects that are equal for all seeds
have none, and count only by their signs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pandas

from bench.report import numbers
from bench.report.effects import Comparison, Effects
from bench.report.extract import listed
from bench.report.statistics import equal, sign_flip, student, t_interval


@dataclass(frozen=True)
class Effect:
    """One comparison with the mean of its effects, a difference or a ratio, its interval, and one-sided p-values."""

    subject: str
    rival: str  # with the condition: "A by euler"
    scale: Literal["difference", "ratio"]
    unit: str
    mean: float = math.nan
    low: float = math.nan
    high: float = math.nan
    pairs: int = 0
    kept: int = 0  # of `pairs` seeds, those with an effect below the claim's bound
    below: float = 1.0  # p-values of the effect being below and above that bound
    above: float = 1.0
    run_ids: tuple[str, ...] = ()
    missing: tuple[str, str] | None = None  # why there is no effect: "2 of 3 seeds", and what befell the others

    @property
    def comparison(self) -> str:
        return f"{self.subject} against {self.rival}"

    @property
    def p(self) -> float:
        """Two-sided; NaN without an effect."""
        return math.nan if self.missing else min(1.0, 2 * min(self.below, self.above))

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
    unit = "bits/dim" if each[0].metric == "nll_bpd" else each[0].section.about(each[0].metric or "").unit
    empty = Effect(subject, rival, *(("ratio", "") if claim.is_ratio else ("difference", unit)))

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
    pairs = pandas.concat(found, axis=1).mean(axis=1, skipna=False)
    finite = pairs[pairs.abs() < math.inf]
    # A seed without a finite effect on each dataset may be the one that decides: without it nothing is decided.
    if len(finite) < (needed := max(len(pairs), claim.seeds)):
        lost = list(dict.fromkeys(why for effects in each for why in effects.lost(comparison)))
        counted = f"{len(finite)} of {needed} seeds with a finite effect"
        return lacking(counted, f"({listed(lost)})" if lost else "", len(finite))
    bound = math.log(claim.limit) if claim.is_ratio else claim.limit
    mean, half, n = t_interval(finite)
    half = math.nan if equal(list(finite)) else half
    mean, low, high = (_exp(x) if claim.is_ratio else x for x in (mean, mean - half, mean + half))
    below, above = (student if claim.test == "paired_t" else sign_flip)([x - bound for x in finite])
    runs = tuple(run for effects, of in zip(each, found, strict=True) for run in effects.runs(comparison, of))
    kept = int((finite < bound).sum())
    return replace(empty, mean=mean, low=low, high=high, pairs=n, kept=kept, below=below, above=above, run_ids=runs)


def _exp(x: float) -> float:
    return math.inf if x >= 700 else math.exp(x)
