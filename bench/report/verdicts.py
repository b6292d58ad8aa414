"""Verdicts on claims: what the paired effects of seeds say, on each dataset and on all of a suite together.

The effects of bench/report/effects.py are tested against the claim's bound (bench/report/statistics.py), two-sided at
ALPHA:

    supported      every comparison of the claim is significantly below its bound (an intersection-union test)
    contradicted   some comparison is significantly above it, beyond what so many bring by chance (Bonferroni)
    undecided      everything else, with what is missing: runs, seeds, or an effect above the noise

A value that could not be had (it diverged) leaves its comparison without an effect, on either side: the claim is
undecided with that reason, unless another comparison contradicts it.

Over several datasets the effect of a seed is its mean over datasets, where effects have one unit; otherwise the claim
must hold on each. Intervals are 95% t-intervals of the mean effect; of ratios, of the mean logarithm. Effects that are
equal for all seeds have none, and count by their signs alone.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from bench.claims import Claim, paper
from bench.report import numbers, vocabulary
from bench.report.cells import measured
from bench.report.effects import Comparison, Effects, comparisons
from bench.report.sections import Section, count, listed
from bench.report.statistics import equal, sign_flip, student, t_interval

if TYPE_CHECKING:
    from pandas import DataFrame

ALPHA = 0.05
Word = Literal["supported", "contradicted", "undecided"]
CAVEATS = {
    "paper": "",
    "small": "at a reduced scale: the published experiment may decide otherwise",
    "smoke": "a smoke run decides nothing",
}


class Missing(NamedTuple):
    """Why there is no effect: "no finished run of" something, "2 of 3 seeds", "planned with several settings"."""

    what: str
    of: str = ""


@dataclass(frozen=True)
class Effect:
    """One comparison with the mean of its effects, their interval, and one-sided p-values.

    Attributes:
        subject, rival: in words; the rival's have the condition, "DDPM by euler".
        mean, low, high: a difference, or a ratio of the subject's value to the rival's.
        pairs: seeds; `kept` of them have an effect below the claim's bound.
        below, above: p-values of the effect being below and above the claim's bound.
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
    below: float = 1.0
    above: float = 1.0
    run_ids: tuple[str, ...] = ()
    missing: Missing | None = None

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


@dataclass(frozen=True)
class Verdict:
    """What the records say of a claim; `dataset` is "" for all datasets of the suite together."""

    claim: Claim
    suite: str
    protocol: str
    dataset: str
    word: Word
    summary: str
    effects: tuple[Effect, ...]

    @property
    def caveat(self) -> str:
        """What must stand beside the word below the paper's protocol."""
        return CAVEATS.get(self.protocol, f"protocol {self.protocol}, not the paper's")


def verdicts(claims: Iterable[Claim], sections: Sequence[Section], cells: "DataFrame") -> list[Verdict]:
    """For every claim about a baseline of a suite: the verdict over its datasets, then that on each of several.

    What the paper claims is left out where its subject was not run, and of super-resolution, which it says nothing of.
    """
    found: list[Verdict] = []
    values = {s.identity: measured(s) for s in sections}
    papers = {claim.id for claim in paper()}
    for suite, protocol in dict.fromkeys((s.suite, s.protocol) for s in sections):
        mine = [s for s in sections if (s.suite, s.protocol) == (suite, protocol)]
        for claim in claims:
            about = [s for s in mine if set(s.frame.baseline) & set(claim.subject)]
            if claim.id in papers:
                about = [s for s in about if not s.is_super_resolution]
            elif not about:
                missing = f"no run of {listed(claim.subject)}"
                found.append(Verdict(claim, suite, protocol, "", "undecided", missing, ()))
            each = [Effects(claim, s, cells, values[s.identity]) for s in about]
            alone = [_verdict([effects]) for effects in each]
            if len(alone) > 1:
                together = _verdict(each, alone) if _one_unit(each) else _conjunction(alone)
                found += [together, *alone]
            else:
                found += [replace(verdict, dataset="") for verdict in alone]
    return found


def _one_unit(each: Sequence[Effects]) -> bool:
    return each[0].claim.is_ratio or len({effects.metric for effects in each}) == 1


def _verdict(each: Sequence[Effects], alone: Sequence[Verdict] = ()) -> Verdict:
    """The verdict on the mean effect over datasets; `alone` are the verdicts on each of them."""
    claim, section = each[0].claim, each[0].section
    effects = tuple(_effect(each, comparison) for comparison in comparisons(claim))
    word, said = _judged(claim, effects)
    if section.protocol == "smoke":
        word, said = "undecided", "a smoke run decides nothing"
    said = f"{_what(each)}: {said}"
    if alone:
        mean = "" if any(e.missing for e in effects) else f"mean over {len(alone)} datasets, "
        said += f"; {mean}{_counted(alone)}"
    return Verdict(claim, section.suite, section.protocol, "" if alone else section.name, word, said, effects)


def _conjunction(alone: Sequence[Verdict]) -> Verdict:
    """Effects of several units have no mean: the claim must hold on every dataset."""
    words = {verdict.word for verdict in alone}
    word: Word = "undecided"
    if words == {"supported"}:
        word = "supported"
    elif "contradicted" in words:
        word = "contradicted"
    return replace(alone[0], dataset="", word=word, summary=_counted(alone), effects=())


def _counted(alone: Sequence[Verdict]) -> str:
    """ "supported on moons and rings, undecided on digits"; numbers where there are many."""
    said = []
    for word in get_args(Word):
        on = [verdict.dataset for verdict in alone if verdict.word == word]
        if on:
            said.append(f"{word} on {listed(on) if len(on) < 4 else len(on)}")
    return ", ".join(said)


def _judged(claim: Claim, effects: Sequence[Effect]) -> tuple[Word, str]:
    """The word, and the comparison that it hangs on."""
    contradicting = [e for e in effects if e.above < ALPHA / 2 / len(effects)]
    if contradicting:
        said = _quote(claim, max(contradicting, key=lambda e: e.mean))
        share = f", in {len(contradicting)} of {len(effects)} comparisons" if len(effects) > 1 else ""
        return "contradicted", said + share
    if any(e.missing for e in effects):
        return "undecided", _missing(effects)
    noisy = [e for e in effects if e.below >= ALPHA / 2]
    if noisy:
        worst = max(noisy, key=lambda e: e.below)
        why = "effect below the noise"
        if math.isnan(worst.low):
            why = f"all seeds agree, which {worst.pairs} of them do by chance too"
        if worst.above < ALPHA / 2:
            why = f"above its bound, but not beyond what {len(effects)} comparisons bring by chance"
        return "undecided", f"{why}, {_quote(claim, worst)}"
    return "supported", _quote(claim, max(effects, key=lambda e: e.mean))


def _missing(effects: Sequence[Effect]) -> str:
    """All that is missing, each kind once."""
    lacking: dict[str, dict[str, None]] = {}
    for missing in (e.missing for e in effects if e.missing):
        lacking.setdefault(missing.what, {})[missing.of] = None
    return "; ".join(f"{what} {listed(of)}".strip() for what, of in lacking.items())


def _quote(claim: Claim, effect: Effect) -> str:
    bound = ""
    if claim.bound is not None:
        bound = f", bound × {claim.bound:g}" if claim.is_ratio else f", bound {claim.bound:+g}"
    subject = f"{effect.subject} " if len(claim.subject) > 1 else ""
    return f"{effect.text} {subject}against {effect.rival} ({effect.kept} of {count(effect.pairs, 'seed')}{bound})"


def _what(each: Sequence[Effects]) -> str:
    """What an effect is of: "NLL", "W₂ at few evaluations", "training steps to the same W₂"."""
    claim = each[0].claim
    metrics = {effects.metric or claim.metric for effects in each}
    shared = {"nll": "NLL", "quality": "distance to the data"}
    title = vocabulary.metric(metrics.pop()).title if len(metrics) == 1 else shared.get(claim.metric, claim.metric)
    over = {"step": "training steps", "train_seconds": "seconds of training", "nfe_training": "evaluations, by sample,"}
    return {
        "value": title,
        "spread": f"{title}, distance from the mean over seeds",
        "variation": f"{title}, highest over lowest in training",
        "few": f"{title} at few evaluations",
        "to_error": "evaluations for the same error of the ODE",
        "to_target": f"{over[claim.over]} to the same {title}",
    }[claim.measure]


def _effect(each: Sequence[Effects], comparison: Comparison) -> Effect:
    """One comparison on one dataset, or its mean over several, of all seeds that were planned on both sides.

    A seed without a finite effect on each dataset may be the one that decides: without it nothing is decided.
    """
    import pandas

    claim = each[0].claim
    subject, rival = (next(filter(None, (e.label(side) for e in each)), side) for side in comparison.sides)
    of_rival = rival + (f" by {comparison.condition}" if comparison.condition else "")
    empty = Effect(subject, of_rival, "ratio" if claim.is_ratio else "difference", _unit(each[0]))
    for side, name in zip(comparison.sides, (subject, rival), strict=True):
        if found := list(dict.fromkeys(label for e in each for label in e.several(side))):
            return replace(
                empty, missing=Missing("planned with several settings, of which a claim means one:", listed(found))
            )
        without = [e.section.name for e in each if e.label(side) is None]
        if without:
            of = name + (f" on {listed(without)}" if len(without) < len(each) else "")
            return replace(empty, missing=Missing("no finished run of", of))
    by_dataset = {effects.section.identity: effects.of(comparison) for effects in each}
    if any(found.empty for found in by_dataset.values()):
        return replace(empty, missing=Missing("not measured against", of_rival))
    pairs = pandas.DataFrame(by_dataset).mean(axis=1, skipna=False)
    whole = pairs[pairs.abs() < math.inf]
    if len(whole) < max(len(pairs), claim.seeds):
        needed = max(len(pairs), claim.seeds)
        lost = list(dict.fromkeys(said for e in each for said in e.lost(comparison)))
        counted = f"{len(whole)} of {needed} seeds with a finite effect"
        return replace(empty, pairs=len(whole), missing=Missing(counted, f"({listed(lost)})" if lost else ""))
    bound = math.log(claim.limit) if claim.is_ratio else claim.limit
    mean, half, n = t_interval(whole)
    half = math.nan if equal(list(whole)) else half
    ends = (mean, mean - half, mean + half)
    mean, low, high = map(_exp, ends) if claim.is_ratio else ends
    below, above = (student if claim.test == "paired_t" else sign_flip)([x - bound for x in whole])
    runs = tuple(run for effects in each for run in effects.runs(comparison))
    kept = int((whole < bound).sum())
    return replace(empty, mean=mean, low=low, high=high, pairs=n, kept=kept, below=below, above=above, run_ids=runs)


def _exp(x: float) -> float:
    return math.inf if x >= 700 else math.exp(x)


def _unit(effects: Effects) -> str:
    if effects.claim.is_ratio:
        return ""
    return "bits/dim" if effects.metric == "nll_bpd" else vocabulary.metric(effects.metric or "").unit
