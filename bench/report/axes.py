"""Curves of baselines: means over seeds with their bands, limits, ticks and the legend that is also a ranking."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator
from pandas import DataFrame

from bench.metrics.metric import Facts
from bench.report.canvas import legible
from bench.report.extract import listed
from bench.report.incidents import kind, reasons
from bench.report.sections import Section
from bench.report.statistics import LEAST_SEEDS, half_width
from bench.report.style import INK, MUTED, Look
from bench.report.vocabulary import headed

DASHES = (0, (5, 3))
CROSS: dict[str, Any] = {"marker": "x", "markersize": 7, "markeredgewidth": 2, "clip_on": False, "zorder": 6}
STEP = 0.05  # of an axis' height, between the crosses of two variants
MARKS: dict[str, Any] = {"markersize": 6.5, "markeredgecolor": "white", "markeredgewidth": 0.5}


def means(rows: DataFrame, by: Sequence[str], along: Sequence[str] = ()) -> DataFrame:
    """Means of `value` and `along` over the `seeds` of every variant at every `by`, lost values (NaN) left out.

    `low` and `high` are the 95% t-interval of the value, NaN for fewer than LEAST_SEEDS seeds.
    """
    groups = rows[rows.value.notna()].groupby(["variant", *by])
    found = groups[["value", *along]].mean()
    n = groups.value.count()
    half = half_width(groups.value.std(), n).where(n >= LEAST_SEEDS)
    return found.assign(low=found.value - half, high=found.value + half, seeds=n).reset_index()


def curves(
    looks: Mapping[str, Look], axes: Axes, points: DataFrame, x: str, bands: bool = True, by: str = "variant"
) -> None:
    """A line with markers for everything of `looks` that `points` have in the column `by`, its band behind it."""
    shade = min(0.14, 0.5 / max(1, points[by].nunique()))
    for name in (name for name in looks if (points[by] == name).any()):
        look, line = looks[name], points[points[by] == name].sort_values(x)
        axes.plot(line[x], line.value, color=look.colour, marker=look.marker, linestyle=look.line, **MARKS)
        if bands and line.low.notna().any():
            axes.fill_between(line[x], line.low, line.high, color=look.colour, alpha=shade, linewidth=0)


def crosses(looks: Mapping[str, Look], axes: Axes, rows: DataFrame, x: str, place: str, by: str = "variant") -> None:
    """A cross at the upper edge per name in the column `by` and `place` whose value was lost; at the end for no x."""
    lost = rows[rows.value.isna()].drop_duplicates([by, place])
    for line, name in enumerate(name for name in looks if (lost[by] == name).any()):
        at, height = lost[lost[by] == name][x], 1 - STEP * line
        style: dict[str, Any] = {"color": looks[name].colour, "linestyle": "", **CROSS}
        known = at.dropna().drop_duplicates()
        axes.plot(known, [height] * len(known), transform=axes.get_xaxis_transform(), **style)
        if at.isna().any():
            axes.plot([0.985], [height], transform=axes.transAxes, **style)


def lacking(section: Section, rows: DataFrame, where: str = "Crosses at the upper edge: values") -> str:
    """What a figure says of what was lost, a sentence after its reading; nothing if no value was."""
    told, lost = [], rows[rows.value.isna()]
    for variant, label in section.labels.items():
        if counts := Counter(map(kind, reasons(lost[lost.variant == variant]))):
            told.append(f"{label} ({', '.join(f'{number} {word}' for word, number in counts.items())})")
    return f" {where} that could not be had, {listed(told)}." if told else ""


def floor_line(
    axes: Axes, height: float, half_width: float, text: str, right: bool = False, below: bool = False
) -> None:
    """A dashed line at what the data itself scores, with its interval behind it if it has one (not NaN)."""
    if math.isfinite(half_width):
        axes.axhspan(height - half_width, height + half_width, color=INK, alpha=0.07, linewidth=0, zorder=0)
    axes.axhline(height, color=INK, linewidth=1, linestyle=DASHES, zorder=1)
    where: dict[str, Any] = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points"}
    where |= {"ha": "right" if right else "left", "va": "top" if below else "baseline"}
    axes.annotate(text, (0.99 if right else 0.01, height), (0, -3 if below else 3), size=8.5, **where)


def name_point(axes: Axes, x: float, y: float, text: str, colour: str) -> None:
    """Write a name below a point of axes whose limits are set, on the side where it has room; no line strikes it."""
    share = axes.transAxes.inverted().transform(axes.transData.transform((x, y)))[0]
    style: dict[str, Any] = {"ha": "left" if share < 0.7 else "right", "va": "center", "color": legible(colour)}
    style["path_effects"] = [withStroke(linewidth=2, foreground="white")]
    place = (6 if share < 0.7 else -6, -9)
    axes.annotate(text, (x, y), place, textcoords="offset points", size=8.5, **style)


def titled(about: Facts, n: float | None = None) -> str:
    """What an axis says of a metric: "NLL [nats], n = 4,000"."""
    return f"{headed(about)}{sized(n)}{', higher is better' if about.direction == 'higher' else ''}"


def sign_of(about: Facts) -> int:
    """By which values are multiplied for less to be better."""
    return -1 if about.direction == "higher" else 1


def sized(n: float | None) -> str:
    """ ", n = 4,000", or nothing where it is not known."""
    return f", n = {int(n):,}" if n is not None and math.isfinite(n) else ""


def limit(axes: Axes, means: Any, floor: float | None = None) -> str:
    """Limits by the floor and the bulk of the means rather than by bands and outliers; says so if some are cut off."""
    low, high, most = float(means.min()), float(means.max()), float(means.quantile(0.9))
    if low == high and floor in (None, low):
        return ""  # matplotlib's own limits: these would have no height
    is_log = axes.get_yscale() == "log"
    upper = min(high, most * most / low if is_log else most + 0.5 * (most - low))
    cut = " Values above the axis are cut off." if upper < high else ""
    if floor is not None and (floor > 0 or not is_log):
        low, upper = min(low, floor), max(upper, floor)
    if is_log:
        axes.set_ylim(low / 1.12, upper * 1.12)
    else:
        axes.set_ylim(low - 0.06 * (upper - low), upper + 0.05 * (upper - low))
    return cut


Floor = tuple[float, float]  # what the data itself scores, and the half-width of its interval


def above_noise(points: DataFrame, floor: Floor | None) -> tuple[DataFrame, Floor | None, str]:
    """Points and floor for a logarithmic axis: those below a tenth of the floor's noise, or below zero, at its edge."""
    least = float(points.value[points.value > 0].min())
    if math.isnan(least):  # then the axis is not logarithmic
        return points, floor, ""
    height, noise = floor or (math.nan, math.nan)
    lowest = noise / 10 if math.isfinite(noise) else 0.0
    edge, shown = max(least, lowest), max(height, lowest) or least
    if floor:
        edge = min(edge, shown)
    raised = points.assign(value=points.value.clip(lower=edge))
    is_raised = (raised.value > points.value).any() or (floor is not None and shown > height)
    return raised, floor and (shown, noise), " Values below the axis stand on its lower edge." if is_raised else ""


def log_scaled(axes: Axes, points: DataFrame, ticks: Iterable[float], floor: float | None) -> str:
    """Logarithmic axes over `nfe` for all points if these are above zero; says so where some are cut off."""
    axes.set(xscale="log", xlim=(points.nfe.min() / 1.2, points.nfe.max() * 1.2))
    plain_log(axes.xaxis, ticks)
    if not (points.value > 0).all():
        return limit(axes, points.value, floor)
    axes.set_yscale("log")
    cut = limit(axes, points.value, floor)
    plain_log(axes.yaxis)
    return cut


def plain_log(axis: Any, places: Iterable[float] = ()) -> None:
    """Ticks of a logarithmic axis in plain numbers: at `places` that are not too close, or at 1, 2, 5 and the like."""
    low, high = sorted(axis.get_view_interval())
    decades = math.log10(high / low) if low > 0 else 1
    fine = (1, 2, 5) if decades > 0.7 else (1, 1.5, 2, 3, 4, 5, 7)
    steps = (1,) if decades > 3 else (1, 3) if decades > 1.6 else fine
    kept: list[float] = []
    for place in sorted(set(places)):
        if not kept or math.log(place / kept[-1]) > 0.11 * math.log(high / low):
            kept.append(place)
    axis.set_major_locator(FixedLocator(kept) if kept else LogLocator(subs=steps, numticks=12))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.set_minor_formatter(NullFormatter())


def legend(section: Section, axes: Axes, values: Mapping[str, str], heading: str) -> None:
    """Names in their ink at the right, in the order given, with the value each curve stands for."""
    named = {f"{section.labels[variant]}  {value}".strip(): section.looks[variant] for variant, value in values.items()}
    key(axes, named, heading)


def key(axes: Axes, looks: Mapping[str, Look], heading: str = "") -> None:
    """A legend at the right, of names in their ink."""
    handles = [
        Line2D([], [], color=look.colour, label=name, marker=look.marker, linestyle=look.line, **MARKS)
        for name, look in looks.items()
    ]
    style: dict[str, Any] = {"labelcolor": [legible(look.colour) for look in looks.values()]}
    style |= {"prop": {"weight": "bold", "size": 9}, "title": heading or None, "alignment": "left", "borderaxespad": 0}
    legend = axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1.02), **style)
    legend.get_title().set(color=MUTED, size=8.5)


def front(points: DataFrame, cost: str, sign: int) -> DataFrame:
    """Points that no other is at least as good as in cost and `value` and better in one, cheapest first."""
    ranked = points.assign(signed=sign * points.value).sort_values([cost, "signed"])
    return ranked[ranked.signed < ranked.signed.cummin().shift(fill_value=math.inf)]
