"""Verdicts laid out for the page: a claim a line, and under it what each dataset says, effects on one axis.

An effect is drawn as its mean with its interval beside the claim's bound, 0 for a difference and 1 for a ratio if the
claim names none: an interval that meets the line leaves the claim open on that comparison. The comparisons of one
dataset share an axis, which is linear for differences and logarithmic for ratios.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, get_args

from bench.report.mean_effect import Effect
from bench.report.verdicts import Verdict, Word

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
    """A line a verdict, in the order given.

    Args:
        baselines: the baseline of each run by `run_id`.
    """
    return [
        Conclusion(head, tuple(_part(v, baselines) for v in (head, *head.parts) if v.effects or v.dataset))
        for head in verdicts
    ]


def tally(lines: Sequence[Conclusion]) -> dict[str, int]:
    """How many lines bear each word; words that none bears are left out."""
    counts = Counter(line.head.word for line in lines)
    return {word: counts[word] for word in get_args(Word) if counts[word]}


def _part(verdict: Verdict, baselines: Mapping[str, str]) -> Part:
    bound = verdict.claim.limit
    values = [(e, value) for e in verdict.effects for value in (e.mean, e.low, e.high, bound)]
    ends = [end for end in (_place(*value) for value in values) if math.isfinite(end)] or [0.0]
    compared = [dict.fromkeys(baselines[run] for run in e.run_ids if run in baselines) for e in verdict.effects]
    drawn = [drawing(effect, min(ends), max(ends), bound) for effect in verdict.effects]
    return Part(verdict, tuple(Row(*row) for row in zip(verdict.effects, drawn, map(tuple, compared), strict=True)))


def _place(effect: Effect, value: float) -> float:
    """The coordinate of a value on the axis."""
    if effect.scale != "ratio":
        return value
    return math.log(value) if value > 0 else -math.inf


def drawing(effect: Effect, low: float, high: float, bound: float) -> str:
    """An effect as SVG on the axis [low, high]; an end at infinity runs to the edge, a NaN is not drawn."""

    def x(value: float) -> str:
        share = (min(max(value, low), high) - low) / (high - low) if high > low else 0.5
        return f"{EDGE + share * (WIDTH - 2 * EDGE):.1f}"

    mean, start, end, line = (_place(effect, value) for value in (effect.mean, effect.low, effect.high, bound))
    middle = HEIGHT / 2
    shapes = [f'<line class="none" x1="{x(line)}" x2="{x(line)}" y1="0" y2="{HEIGHT}"/>']
    if not (math.isnan(start) or math.isnan(end)):
        shapes.append(f'<line class="reach" x1="{x(start)}" x2="{x(end)}" y1="{middle}" y2="{middle}"/>')
    if math.isfinite(mean):
        shapes.append(f'<circle cx="{x(mean)}" cy="{middle}" r="3.4"/>')
    kind = "clear" if start > line or end < line else "open"
    return f'<svg class="interval {kind}" viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true">{"".join(shapes)}</svg>'
