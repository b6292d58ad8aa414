"""What quality costs: one point a baseline, the Pareto front marked."""

import json
import math
from collections.abc import Sequence
from typing import Any

import pandas
from matplotlib.axes import Axes
from pandas import DataFrame

from bench.report import numbers
from bench.report.axes import crosses, floor_line, front, lacking, legend, name_point, plain_log, sign_of, titled
from bench.report.canvas import LEGEND, WIDTH, sheet
from bench.report.cells import Scores, floor_text
from bench.report.comparable import FLOOR
from bench.report.extract import each
from bench.report.figure import Drawing, FigureData, register_figure
from bench.report.sections import Section
from bench.report.statistics import LEAST_SEEDS
from bench.report.style import FRONT

NAMED = 6  # further samplers of which each is named; of more, those on the front


@register_figure(
    "cost_quality", title="Training time against likelihood, sampling time against quality; the Pareto front", place=10
)
def cost_quality(data: FigureData) -> Drawing | None:
    """Training seconds against likelihood, sampling seconds against the distance to the data."""
    section = data.section
    facets = []
    for cost_name, quality_name in (("train_seconds", "nll"), ("sampling_seconds", "quality")):
        cost, quality = section.scores(cost_name), section.scores(section.metric(quality_name) or "")
        if cost and quality:
            points = points_of(section, cost, quality)
            if points.value.notna().sum() > 1:
                facets.append((cost, quality, points))
    if not facets:
        return None
    gap = 0.95
    width = min(5.4, (WIDTH - 0.8 - LEGEND - gap * (len(facets) - 1)) / len(facets))
    figure, [axes] = sheet(1, len(facets), (width, 3.6), (gap, 0), left=0.8, right=LEGEND, bottom=0.6, head=0.1)
    for one, facet in zip(axes, facets, strict=True):
        _draw(section, one, *facet)
    everything = pandas.concat([points for _, _, points in facets])
    legend(section, axes[-1], {v: "" for v in section.labels if (everything.variant == v).any()}, "")
    title = "; ".join(f"{quality.about.title} against {cost.about.title.lower()}" for cost, quality, _ in facets)
    reading = (
        "Left is better, and down unless the axis says otherwise; the cost axis is logarithmic. Bars are 95% "
        "t-intervals from three seeds on. The grey steps join the points that no other beats in both; hollow markers "
        f"are further samplers of the same weights; of more than {NAMED} those on the front are named. "
        "A value far above all others is drawn at the upper edge, with an arrow and its number."
    )
    return Drawing(figure, title, reading + lacking(section, everything))


def points_of(section: Section, cost: Scores, quality: Scores) -> DataFrame:
    """The rows of the table that have `cost` and `value`, and those whose quality was lost (value NaN)."""
    row = ["variant", "sampler", "batch"]
    cells = section.cells[section.cells.baseline != FLOOR].set_index(row)
    x, y = (cells[(cells.metric == of.metric) & (cells.settings == of.settings)] for of in (cost, quality))
    x = x[["mean", "half_width"]].set_axis(["cost", "cost_half_width"], axis=1)
    points = y.rename(columns={"mean": "value", "n": "seeds", "hole": "reason"}).join(x).reset_index()
    is_lost = (points.lost > 0) & (points.seeds == 0)
    return points[is_lost | ((points.value.abs() < math.inf) & (points.cost.abs() < math.inf))]


def _draw(section: Section, axes: Axes, cost: Scores, quality: Scores, points: DataFrame) -> None:
    shown = points[points.value.notna()]
    low = min(shown.value.min(), math.inf if quality.floor is None else quality.floor)
    sign = sign_of(quality.about)
    high = ceiling(shown.value.tolist(), low) if sign > 0 else shown.value.max()
    margin = (high - low or abs(high) or 1) * 0.12
    reach, best = points.cost[points.cost > 0], front(shown, "cost", sign)
    names = named(shown, best)
    axes.set(xscale="log", xlim=(reach.min() / 1.45, reach.max() * 1.7), ylim=(low - margin, high + margin))
    if low > 0 and high / low > 20:
        axes.set(yscale="log", ylim=(low / 1.4, high * 1.4))
        plain_log(axes.yaxis)
    for row in each(shown):
        look, height = section.looks[row.variant], min(row.value, high)
        if row.seeds >= LEAST_SEEDS:
            bars = row.half_width, min(row.cost_half_width, 0.9 * row.cost)
            axes.errorbar(row.cost, row.value, *bars, color=look.colour, alpha=0.3, linewidth=1, zorder=2)
        style: dict[str, Any] = {"color": look.colour, "markeredgecolor": "white", "markeredgewidth": 0.6}
        if not row.is_headline:
            style = {"color": "white", "markeredgecolor": look.colour, "markeredgewidth": 1.4}
        axes.plot([row.cost], [height], look.marker, markersize=9, zorder=3, **style)
        words = [row.sampler] if row.Index in names else []
        words += [f"↑ {numbers.mean(row.value, row.half_width)}"] if row.value > high else []
        name_point(axes, row.cost, height, " ".join(words), look.colour)
    edge = high + 10 * margin if sign > 0 else low - 10 * margin
    steps = [best.cost.iloc[0], *best.cost, 10 * shown.cost.max()], [edge, *best.value, best.value.iloc[-1]]
    axes.step(*steps, where="post", color=FRONT, linewidth=1.4, zorder=1)
    if quality.floor is not None:
        text = floor_text(quality.metric, quality.floor)
        is_right = shown.cost.median() < math.sqrt(reach.min() * reach.max())  # where fewer points are
        floor_line(axes, quality.floor, quality.floor_half, text, is_right, below=sign > 0)
    labels = (titled(of.about, json.loads(of.settings).get("n")) for of in (cost, quality))
    axes.set(**dict(zip(("xlabel", "ylabel"), labels, strict=True)))
    plain_log(axes.xaxis)
    crosses(section.looks, axes, points, "cost", "sampler")


def named(points: DataFrame, best: DataFrame) -> pandas.Index:
    """The further samplers that stand by name, by their place in `points`; `best` are those on the front."""
    further = points.index[~points.is_headline.astype(bool)]
    return further if len(further) <= NAMED else further.intersection(best.index)


def ceiling(values: Sequence[float], low: float) -> float:
    """The highest value, or three times as far above `low` as four fifths of them lie, where some lie beyond."""
    most = sorted(values)[math.ceil(0.8 * len(values)) - 1]
    return max(values) if most <= low else min(max(values), low + 3 * (most - low))
