"""Verdicts laid out for the page: a claim a line, and under it what each dataset says, effects on one axis.

An effect is drawn as its mean with its interval beside the claim's bound, 0 for a difference and 1 for a ratio where
the claim names none: an interval that meets the line leaves the claim open on that comparison. The comparisons of one
dataset share an axis, which is linear for differences and logarithmic for ratios.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, get_args

from bench.report.mean_effect import Effect
from bench.report.verdicts import Verdict, Word

WORDS: tuple[Word, ...] = get_args(Word)
WIDTH, HEIGHT, EDGE = 200, 22, 6  # of an interval's drawing, in its own units


class Row(NamedTuple):
    """An effect with its drawing (SVG) and the baselines that it compares, as registered."""

    effect: Effect
    drawing: str
    baselines: tuple[str, ...]


class Part(NamedTuple):
    """A verdict with its effects, drawn."""

    verdict: Verdict
    rows: tuple[Row, ...]


class Conclusion(NamedTuple):
    """One line of the page: the verdict that stands for the claim, and the parts that it rests on."""

    head: Verdict
    parts: tuple[Part, ...]


def conclusions(verdicts: Sequence[Verdict], baselines: Mapping[str, str]) -> list[Conclusion]:
    """A line a claim and protocol, in the order given; without a verdict on the whole suite a line a dataset.

    Args:
        baselines: the baseline of each run by `run_id`.
    """
    groups: dict[tuple[str, str, str], list[Verdict]] = {}
    for verdict in verdicts:
        groups.setdefault((verdict.claim.id, verdict.suite, verdict.protocol), []).append(verdict)
    lines = []
    for group in groups.values():
        whole = [verdict for verdict in group if not verdict.dataset]
        parts = [_part(verdict, baselines) for verdict in sorted(group, key=lambda verdict: bool(verdict.dataset))]
        told = tuple(part for part in parts if part.rows or part.verdict.dataset)
        lines += [Conclusion(whole[0], told)] if whole else [Conclusion(part.verdict, (part,)) for part in parts]
    return lines


def tally(lines: Sequence[Conclusion]) -> dict[str, int]:
    """How many lines bear each word, in the order of WORDS; words that none bears are left out."""
    counts = Counter(line.head.word for line in lines)
    return {word: counts[word] for word in WORDS if counts[word]}


def _part(verdict: Verdict, baselines: Mapping[str, str]) -> Part:
    bound = verdict.claim.limit
    reach = _reach(verdict.effects, bound)
    return Part(
        verdict,
        tuple(
            Row(
                effect,
                drawing(effect, *reach, bound),
                tuple(dict.fromkeys(baselines[run] for run in effect.run_ids if run in baselines)),
            )
            for effect in verdict.effects
        ),
    )


def _place(effect: Effect, value: float) -> float:
    """Where a value stands on the axis."""
    if effect.scale != "ratio":
        return value
    return math.log(value) if value > 0 else -math.inf


def _reach(effects: Sequence[Effect], bound: float) -> tuple[float, float]:
    """Ends of the axis that holds the bound and everything finite of `effects`."""
    ends = [_place(effect, value) for effect in effects for value in (effect.mean, effect.low, effect.high, bound)]
    finite = [end for end in ends if math.isfinite(end)] or [0.0]
    return min(finite), max(finite)


def drawing(effect: Effect, low: float, high: float, bound: float) -> str:
    """An effect as SVG on the axis [low, high]; an end at infinity runs to the edge, a NaN is not drawn."""

    def x(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low) if high > low else 0.5
        return EDGE + share * (WIDTH - 2 * EDGE)

    mean, start, end, line = (_place(effect, value) for value in (effect.mean, effect.low, effect.high, bound))
    middle = HEIGHT / 2
    shapes = [f'<line class="none" x1="{x(line):.1f}" x2="{x(line):.1f}" y1="0" y2="{HEIGHT}"/>']
    if not (math.isnan(start) or math.isnan(end)):
        shapes.append(f'<line class="reach" x1="{x(start):.1f}" x2="{x(end):.1f}" y1="{middle}" y2="{middle}"/>')
    if math.isfinite(mean):
        shapes.append(f'<circle cx="{x(mean):.1f}" cy="{middle}" r="3.4"/>')
    kind = "clear" if start > line or end < line else "open"
    return f'<svg class="interval {kind}" viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true">{"".join(shapes)}</svg>'
