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
from typing import Literal, get_args

from bench.errors import one_line
from bench.papers.claims import At, Claim
from bench.report.effects import Effects, comparisons
from bench.report.extract import count, listed
from bench.report.mean_effect import Effect, mean_effect
from bench.report.sections import Section

ALPHA = 0.05
Word = Literal["supported", "contradicted", "undecided"]
CAVEATS = {
    "paper": "",
    "small": "at a reduced scale: the published experiment may decide otherwise",
    "smoke": "a smoke run decides nothing",
}


@dataclass(frozen=True)
class Verdict:
    """What the records say of a claim on a dataset; on "" if on all of the suite, whose `parts` are those on each."""

    claim: Claim
    suite: str
    protocol: str
    dataset: str
    word: Word
    summary: str
    effects: tuple[Effect, ...] = ()
    parts: "tuple[Verdict, ...]" = ()

    @property
    def caveat(self) -> str:
        """What must stand beside the word below the paper's protocol."""
        return CAVEATS.get(self.protocol, f"protocol {self.protocol}, not the paper's")


def verdicts(claims: Iterable[Claim], sections: Sequence[Section], complaints: list[str]) -> list[Verdict]:
    """The verdict on every claim over the datasets of a suite and protocol; `complaints` gets what cannot be judged."""
    found: list[Verdict] = []
    for suite, protocol in dict.fromkeys((s.suite, s.protocol) for s in sections):
        of_suite = [s for s in sections if (s.suite, s.protocol) == (suite, protocol)]
        for claim in claims:
            if claim.paper:  # left out where a method that it names is not planned; none is of super-resolution
                named = {*claim.subject, *claim.against}
                about = [s for s in of_suite if named <= set(s.frame.baseline) and not s.is_super_resolution]
            elif not (about := [s for s in of_suite if set(s.frame.baseline) & set(claim.subject)]):
                missing = f"no run of {listed(claim.subject)}"
                found.append(Verdict(claim, suite, protocol, "", "undecided", missing))
            try:
                each = [Effects(claim, section) for section in about]
                each = [effects for effects in each if effects.is_planned or not claim.paper]
                parts = tuple(_verdict([effects]) for effects in each)
                if parts:
                    found.append(_together(each, parts) if parts[1:] else replace(parts[0], dataset=""))
            except Exception as error:  # hours of records are worth a report without one claim
                complaints.append(f"claim {claim.id}: {one_line(error)}")
    return found


def _together(each: Sequence[Effects], parts: tuple[Verdict, ...]) -> Verdict:
    counted = _counted(parts)
    if each[0].claim.is_ratio or len({effects.metric for effects in each}) == 1:
        mean = _verdict(each)
        over = "" if any(e.missing for e in mean.effects) else f"mean over {len(parts)} datasets, "
        return replace(mean, dataset="", summary=f"{mean.summary}; {over}{counted}", parts=parts)
    words = {part.word for part in parts}
    word = words.pop() if len(words) == 1 else "contradicted" if "contradicted" in words else "undecided"
    return replace(parts[0], dataset="", word=word, summary=counted, effects=(), parts=parts)


def _verdict(each: Sequence[Effects]) -> Verdict:
    """The verdict on the effects on one dataset, or on their means over several."""
    claim, section = each[0].claim, each[0].section
    effects = tuple(mean_effect(each, comparison) for comparison in comparisons(claim))
    word, reason = _judged(claim, effects)
    if section.protocol == "smoke":
        word, reason = "undecided", CAVEATS["smoke"]
    place = (section.suite, section.protocol, section.name)
    return Verdict(claim, *place, word, f"{_what(each)}: {reason}", effects)


def _counted(parts: Sequence[Verdict]) -> str:
    """ "supported on moons and rings, undecided on digits"; numbers if there are many."""
    on = {word: [part.dataset for part in parts if part.word == word] for word in get_args(Word)}
    told = {word: listed(names) if len(names) < 4 else str(len(names)) for word, names in on.items() if names}
    return ", ".join(f"{word} on {names}" for word, names in told.items())


def _judged(claim: Claim, effects: Sequence[Effect]) -> tuple[Word, str]:
    """The word, and the comparison that it hangs on."""
    contradicting = [e for e in effects if e.above < ALPHA / 2 / len(effects)]
    if contradicting:
        share = f", in {len(contradicting)} of {len(effects)} comparisons" if len(effects) > 1 else ""
        return "contradicted", _quote(claim, max(contradicting, key=lambda e: e.mean)) + share
    if any(e.missing for e in effects):
        lacking: dict[str, list[str]] = {}
        for what, of in dict.fromkeys(e.missing for e in effects if e.missing):
            lacking.setdefault(what, []).append(of)
        return "undecided", "; ".join(f"{what} {listed(of)}".strip() for what, of in lacking.items())
    worst = max(effects, key=lambda e: e.below)
    if worst.below < ALPHA / 2:
        return "supported", _quote(claim, max(effects, key=lambda e: e.mean))
    why = "effect below the noise"
    if worst.above < ALPHA / 2:
        why = f"above its bound, but not beyond what {len(effects)} comparisons bring by chance"
    elif math.isnan(worst.low):
        why = f"all seeds agree, which {worst.pairs} of them do by chance too"
    return "undecided", f"{why}, {_quote(claim, worst)}"


def _quote(claim: Claim, effect: Effect) -> str:
    bound = ""
    if claim.bound is not None:
        bound = f", bound × {claim.bound:g}" if claim.is_ratio else f", bound {claim.bound:+g}"
    is_best = claim.subject_at is not None and not claim.subject_at.sampler  # of several samplers, then named
    subject = f"{effect.subject} " if len(claim.subject) > 1 or is_best else ""
    return f"{effect.text} {subject}against {effect.rival} ({effect.kept} of {count(effect.pairs, 'seed')}{bound})"


def _what(each: Sequence[Effects]) -> str:
    """What an effect is of: "NLL", "W₂ at few evaluations", "training steps to the same W₂"."""
    claim = each[0].claim
    metrics = {effects.metric or claim.metric for effects in each}
    shared = {"nll": "NLL", "quality": "distance to the data"}
    title = each[0].section.about(metrics.pop()).title if len(metrics) == 1 else shared.get(claim.metric, claim.metric)
    over = {"step": "training steps", "train_seconds": "seconds of training", "nfe_training": "evaluations, by sample,"}
    return {
        "value": title,
        "spread": f"{title}, distance from the mean over seeds",
        "variation": f"{title}, highest over lowest in training",
        "few": f"{title} at few evaluations",
        "at": f"{title} {_places(each)}",
        "to_error": "evaluations for the same error of the ODE",
        "to_target": f"{over[claim.over]} to the same {title}",
    }[claim.measure]


def _places(each: Sequence[Effects]) -> str:
    """ "at 1 evaluation by flow_map against 10 by ddim", as many as were spent, or "by heun2 against by euler"."""
    claim = each[0].claim
    subject, rival = (_place(each, side, at) for side, at in enumerate((claim.subject_at, claim.against_at)))
    return f"{'at ' * subject[:1].isdigit()}{subject} against {rival}"


def _place(each: Sequence[Effects], side: int, at: At | None) -> str:
    if at is None or at.nfe is None:
        return f"by {at.sampler}" if at else ""
    spent = [round(nfe) for effects in each for nfe in effects.spent(side)] or [at.nfe]
    number = " to ".join(dict.fromkeys(f"{nfe}" for nfe in (min(spent), max(spent))))
    unit = "" if side else " evaluation" + "s" * (number != "1")
    return f"{number}{unit}{f' by {at.sampler}' if at.sampler else ''}"
