"""Effects drawn as SVG: the mean with its interval beside the claim's bound.

An interval that meets the bound leaves the claim open on that comparison. The comparisons of one verdict share an axis,
which is linear for differences and logarithmic for ratios.
"""

import math
from collections.abc import Sequence

from bench.report.mean_effect import Effect

WIDTH, HEIGHT, EDGE = 200, 22, 6  # of a drawing, in its own units


def intervals(effects: Sequence[Effect], bound: float) -> list[str]:
    """A drawing per effect, on the axis that holds the bound and everything finite of them."""
    values = [(effect, value) for effect in effects for value in (effect.mean, effect.low, effect.high, bound)]
    ends = [end for end in (_place(*value) for value in values) if math.isfinite(end)] or [0.0]
    return [drawing(effect, min(ends), max(ends), bound) for effect in effects]


def _place(effect: Effect, value: float) -> float:
    if effect.scale != "ratio":
        return value
    return math.log(value) if value > 0 else -math.inf


def drawing(effect: Effect, low: float, high: float, bound: float) -> str:
    """An effect on the axis [low, high]; an end at infinity runs to the edge, a NaN is not drawn."""

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
