"""Verdicts on claims: what the paired effects of seeds say, on each dataset and on all of a suite together.

The effects of bench/report/effects.py are tested against the claim's bound (bench/report/statistics.py), two-sided at
ALPHA:

    supported      every comparison of the claim is significantly below its bound (an intersection-union test)
    contradicted   some comparison is significantly above it (Bonferroni over the comparisons)
    undecided      everything else, with what is missing: runs, seeds, or an effect above the noise

Over several datasets the effect of a seed is its mean over datasets, where effects have one unit; otherwise the claim
must hold on each. Intervals are 95% t-intervals of the mean effect; of ratios, of the mean logarithm.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from bench.claims import Claim
from bench.report import numbers, vocabulary
from bench.report.cells import measured
from bench.report.effects import Comparison, Effects, comparisons
from bench.report.sections import Section, count, listed
from bench.report.statistics import sign_flip, student, t_interval

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
    """Why there is no effect: "no finished run of" something, "2 of 3 seeds"."""

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
    """For every claim about a baseline of a suite: the verdict over its datasets, then that on each of several."""
    found = []
    values = {s.identity: measured(s) for s in sections}
    labels = {b: label for s in sections for b, label in zip(s.frame.baseline, s.frame.label, strict=True)}
    for suite, protocol in dict.fromkeys((s.suite, s.protocol) for s in sections):
        mine = [s for s in sections if (s.suite, s.protocol) == (suite, protocol)]
        for claim in claims:
            about = [s for s in mine if set(s.frame.baseline) & set(claim.subject)]
            each = [Effects(claim, s, cells, values[s.identity]) for s in about]
            alone = [_verdict([effects], labels) for effects in each]
            if len(alone) > 1:
                together = _verdict(each, labels, alone) if _one_unit(each) else _conjunction(alone)
                found += [together, *alone]
            else:
                found += [replace(verdict, dataset="") for verdict in alone]
    return found


def _one_unit(each: Sequence[Effects]) -> bool:
    return each[0].claim.is_ratio or len({effects.metric for effects in each}) == 1


def _verdict(each: Sequence[Effects], labels: dict[str, str], alone: Sequence[Verdict] = ()) -> Verdict:
    """The verdict on the mean effect over datasets; `alone` are the verdicts on each of them."""
    claim, section = each[0].claim, each[0].section
    effects = tuple(_effect(each, comparison, labels) for comparison in comparisons(claim))
    word, said = _judged(claim, effects)
    if section.protocol == "smoke":
        word, said = "undecided", "a smoke run decides nothing"
    said = f"{_what(each)}: {said}"
    if alone:
        mean = "" if any(e.missing for e in effects) else f"mean over {len(alone)} datasets, "
        said += f"; {mean}{_counted(alone)}"
    return Verdict(claim, section.suite, section.protocol, "" if alone else section.dataset, word, said, effects)


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
        return "contradicted", _quote(claim, max(contradicting, key=lambda e: e.mean))
    if any(e.missing for e in effects):
        return "undecided", _missing(effects)
    noisy = [e for e in effects if e.below >= ALPHA / 2]
    if noisy:
        return "undecided", f"effect below the noise, {_quote(claim, max(noisy, key=lambda e: e.below))}"
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
    over = {"step": "training steps", "train_seconds": "seconds of training", "nfe_training": "evaluations in training"}
    return {
        "value": title,
        "spread": f"{title}, distance from the mean over seeds",
        "variation": f"{title}, highest over lowest in training",
        "few": f"{title} at few evaluations",
        "to_error": "evaluations for the same error of the ODE",
        "to_target": f"{over[claim.over]} to the same {title}",
    }[claim.measure]


def _effect(each: Sequence[Effects], comparison: Comparison, labels: dict[str, str]) -> Effect:
    """One comparison on one dataset, or its mean over several, with the seeds that all of them have."""
    import pandas

    claim = each[0].claim
    subject, rival = (labels.get(side, side) for side in comparison.sides)
    rival += f" by {comparison.condition}" if comparison.condition else ""
    unit = "" if claim.is_ratio else _unit(each[0])
    empty = Effect(subject, rival, "ratio" if claim.is_ratio else "difference", unit)
    for side in comparison.sides:
        without = [e.section.dataset for e in each if not e.has(side)]
        if without:
            of = labels.get(side, side) + (f" on {listed(without)}" if len(without) < len(each) else "")
            return replace(empty, missing=Missing("no finished run of", of))
    by_dataset = {effects.section.dataset: effects.of(comparison) for effects in each}
    if any(found.empty for found in by_dataset.values()):
        return replace(empty, missing=Missing("not measured against", rival))
    pairs = pandas.DataFrame(by_dataset).dropna().mean(axis=1)
    if len(pairs) < claim.seeds:
        return replace(empty, pairs=len(pairs), missing=Missing(f"{len(pairs)} of {claim.seeds} seeds"))
    bound = math.log(claim.limit) if claim.is_ratio else claim.limit
    mean, half, n = t_interval(pairs)
    ends = (mean, mean - half, mean + half)
    mean, low, high = map(math.exp, ends) if claim.is_ratio else ends
    below, above = (student if claim.test == "paired_t" else sign_flip)([x - bound for x in pairs])
    runs = tuple(run for effects in each for run in effects.runs(comparison))
    return replace(
        empty,
        mean=mean,
        low=low,
        high=high,
        pairs=n,
        kept=int((pairs < bound).sum()),
        below=below,
        above=above,
        run_ids=runs,
    )


def _unit(effects: Effects) -> str:
    return "bits/dim" if effects.metric == "nll_bpd" else vocabulary.metric(effects.metric or "").unit
