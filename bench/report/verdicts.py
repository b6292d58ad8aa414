"""Verdicts on claims: what the paired effects of seeds say, on each dataset and on all of a suite together.

The effects of bench/report/effects.py are tested against the claim's bound (bench/report/statistics.py), two-sided at
ALPHA:

    supported      every comparison of the claim is significantly below its bound (an intersection-union test)
    contradicted   some comparison is significantly above it, beyond what so many bring by chance (Bonferroni)
    undecided      everything else, with what is missing: runs, seeds, or an effect above the noise

A value that could not be had (it diverged) leaves its comparison without an effect, on either side: the claim is
undecided with that reason, unless another comparison contradicts it.

Over several datasets the effect of a seed is its mean over datasets (bench/report/mean_effect.py), if effects have one
unit; otherwise the claim must hold on each.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from bench.papers.claims import Claim
from bench.report import vocabulary
from bench.report.cells import measured
from bench.report.effects import Effects, comparisons
from bench.report.mean_effect import Effect, mean_effect
from bench.report.sections import Section, count, listed

if TYPE_CHECKING:
    from pandas import DataFrame

ALPHA = 0.05
Word = Literal["supported", "contradicted", "undecided"]
CAVEATS = {
    "paper": "",
    "small": "at a reduced scale: the published experiment may decide otherwise",
    "smoke": "a smoke run decides nothing",
}


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

    What a paper claims is left out where its subject was not run, and of super-resolution: no paper's claims are of it.
    """
    found: list[Verdict] = []
    values = {s.identity: measured(s) for s in sections}
    for suite, protocol in dict.fromkeys((s.suite, s.protocol) for s in sections):
        mine = [s for s in sections if (s.suite, s.protocol) == (suite, protocol)]
        for claim in claims:
            about = [s for s in mine if set(s.frame.baseline) & set(claim.subject)]
            if claim.paper:
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
    effects = tuple(mean_effect(each, comparison) for comparison in comparisons(claim))
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
