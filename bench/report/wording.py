"""What a verdict says of the effects behind it, in a sentence."""

import math
from collections.abc import Sequence

from bench.papers.claims import ADAPTIVE, At, Claim
from bench.report import decisions
from bench.report.decisions import LEVEL, Evidence, Word
from bench.report.effects import Effects
from bench.report.extract import count, listed
from bench.report.mean_effect import LEAST_SETS, Effect

MOST = 1000  # seeds that anybody is told would decide


def deciding(word: Word, effects: Sequence[Effect]) -> Effect:
    """The comparison that the word hangs on: of the claim's p-value for it."""
    if word == "contradicted":
        return min(effects, key=lambda e: e.p_values.above)
    return max(effects, key=lambda e: e.p_values.below)


def reason(claim: Claim, word: Word, effects: Sequence[Effect], family: int, left: Evidence) -> str:
    """The comparison that the word hangs on, and of an undecided claim what is missing.

    `family` is how many claims are judged together, `left` how many of them have not got each of the words.
    """
    one = deciding(word, effects)
    quoted = _quote(claim, one)
    if word == "contradicted":
        against = sum(e.p_values.above < LEVEL / len(effects) for e in effects)
        return quoted + (f", in {against} of {len(effects)} comparisons" if len(effects) > 1 else "")
    if word == "supported":
        return quoted
    if word == "tied":
        return f"no further apart than {_margin(one)}, {quoted}"
    if any(e.missing for e in effects):
        lacking: dict[str, list[str]] = {}
        for what, of in dict.fromkeys(e.missing for e in effects if e.missing):
            lacking.setdefault(what, []).append(of)
        return "; ".join(f"{what} {listed(of)}".strip() for what, of in lacking.items())
    spreads = [e.spread for e in effects if e.spread]
    if len(spreads) < len(effects):
        return f"a spread is one number per dataset, and judged over {LEAST_SETS} or more, {quoted}"
    return f"{_why(effects, family)}, {quoted}; {_needed(decisions.needed(spreads, left), claim)}"


def _why(effects: Sequence[Effect], family: int) -> str:
    one, claims = deciding("undecided", effects), f" of {family} claims" if family > 1 else ""
    if one.spread and not one.spread.error:
        return f"all {one.noun}s agree, which {one.pairs} of them do by chance too"
    if one.p_values.below < LEVEL:
        return f"below its bound, but not beyond what the best{claims} is by chance"
    if min(e.p_values.above for e in effects) < LEVEL:
        worst = f"the worst of {count(len(effects), 'comparison')}{claims}"
        return f"above its bound, but not beyond what {worst} is by chance"
    return "effect below the noise"


def _needed(number: float, claim: Claim) -> str:
    """ "about 34 seeds would decide"."""
    noun = "datasets" if claim.measure == "spread" else "seeds"
    if math.isinf(number):
        return f"no number of {noun} would decide"
    return f"about {number:.0f} {noun} would decide" if number <= MOST else f"more than {MOST:,} {noun} would decide"


def _margin(effect: Effect) -> str:
    """ "a ratio of 1.05" or "0.01 nats"."""
    return (
        f"a ratio of {effect.margin:.3g}" if effect.scale == "ratio" else f"{effect.margin:.2g} {effect.unit}".rstrip()
    )


def _quote(claim: Claim, effect: Effect) -> str:
    bound = ""
    if claim.bound is not None:
        bound = f", bound × {claim.bound:g}" if claim.is_ratio else f", bound {claim.bound:+g}"
    is_best = claim.subject_at is not None and not claim.subject_at.sampler  # of several samplers, then named
    subject = f"{effect.subject} " if len(claim.subject) > 1 or is_best else ""
    return f"{effect.text} {subject}against {effect.rival} ({effect.kept} of {count(effect.pairs, effect.noun)}{bound})"


def beside(effect: Effect | None, sets: tuple[int, int]) -> str:
    """What other looks at the deciding comparison say: ranks of runs, and of datasets."""
    said = [f"on its side in {sets[0]} of {count(sets[1], 'dataset')}"] if sets[1] > 1 else []
    if effect and not math.isnan(effect.improvement):
        said.append(f"probability of improvement {effect.improvement:.2f}")
    if effect and not math.isnan(effect.p_sets):
        said.append(f"Wilcoxon over datasets p = {effect.p_sets:.2g}")
    return ", ".join(said)


def what(each: Sequence[Effects]) -> str:
    """What an effect is of: "NLL", "W₂ at few evaluations", "training steps to the same W₂"."""
    claim = each[0].claim
    metrics = {effects.metric or claim.metric for effects in each}
    shared = {"nll": "NLL", "quality": "distance to the data", "frechet": "Fréchet distance"}
    title = each[0].section.about(metrics.pop()).title if len(metrics) == 1 else shared.get(claim.metric, claim.metric)
    over = {"step": "training steps", "train_seconds": "seconds of training", "nfe_training": "evaluations, by sample,"}
    return {
        "value": title,
        "spread": f"{title}, standard deviation over seeds",
        "variation": f"{title}, highest over lowest in training",
        "few": f"{title} at few evaluations",
        "at": f"{title} {_places(each)}",
        "to_error": "evaluations for the same error of the ODE",
        "to_target": f"{over[claim.over]} to the same {title}",
    }[claim.measure]


def _places(each: Sequence[Effects]) -> str:
    """ "at 1 evaluation by flow_map against 10 by ddim", as many as were spent, or "by heun2 against by euler".

    What both sides share is said once: "by an adaptive solver".
    """
    claim = each[0].claim
    subject, rival = (_place(each, side, at) for side, at in enumerate((claim.subject_at, claim.against_at)))
    return subject if subject == rival else f"{'at ' * subject[:1].isdigit()}{subject} against {rival}"


def _place(each: Sequence[Effects], side: int, at: At | None) -> str:
    if at is None or at.nfe is None:
        return f"by {'an adaptive solver' if at.sampler == ADAPTIVE else at.sampler}" if at else ""
    spent = [round(nfe) for effects in each for nfe in effects.spent(side)] or [at.nfe]
    number = " to ".join(dict.fromkeys(f"{nfe}" for nfe in (min(spent), max(spent))))
    unit = "" if side else " evaluation" + "s" * (number != "1")
    return f"{number}{unit}{f' by {at.sampler}' if at.sampler else ''}"
