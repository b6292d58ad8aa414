"""What quality costs: one point a baseline, the Pareto front marked."""

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.report import numbers
from bench.report.axes import FRONT, LEAST_SEEDS, crosses, floor_line, lacking, pareto, plain_log, titled
from bench.report.canvas import WIDTH, sheet
from bench.report.cells import of_section
from bench.report.comparable import FLOOR
from bench.report.figure import Drawing, FigureData, register_figure
from bench.report.labels import Label, place_labels
from bench.report.scores import Scores, distance_metric, likelihood_metric
from bench.report.statistics import Interval
from bench.report.style import Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame


class Point(NamedTuple):
    """One baseline, or one native sampler of it."""

    label: str
    look: Look
    cost: Interval
    quality: Interval
    native: bool


class Facet(NamedTuple):
    """Points of one cost and one quality, lower being better for both; `lost` are the cells of lost quality."""

    cost: Scores
    quality: Scores
    points: list[Point]
    lost: "DataFrame"

    @property
    def front(self) -> list[Point]:
        """Points that no other is at least as good as in both and better in one, cheapest first."""
        places = pareto([p.cost.mean for p in self.points], [p.quality.mean for p in self.points])
        return [self.points[i] for i in places]


@register_figure(
    "cost_quality", title="Training time against likelihood, sampling time against quality; the Pareto front", place=10
)
def cost_quality(data: FigureData) -> Drawing | None:
    """Training seconds against likelihood, sampling seconds against the distance to the data."""
    import pandas

    section = data.section
    pairs = [("train_seconds", likelihood_metric(section)), ("sampling_seconds", distance_metric(section))]
    facets = [facet for cost, quality in pairs if quality and (facet := _facet(data, cost, quality))]
    if not facets:
        return None
    gap = 0.95
    width = min(5.4, (WIDTH - 0.8 - 0.2 - gap * (len(facets) - 1)) / len(facets))
    figure, axes = sheet(1, len(facets), (width, 3.6), (gap, 0), left=0.8, bottom=0.6, head=0.1)
    for one, facet in zip(axes[0], facets, strict=True):
        _draw(one, facet)
        crosses(section, one, facet.lost, "cost")
    title = "; ".join(f"{facet.quality.about.title} against {facet.cost.about.title.lower()}" for facet in facets)
    reading = (
        "Down and left is better; the cost axis is logarithmic. Bars are 95% t-intervals from three seeds on. The grey "
        "steps join the points that no other beats in both; hollow markers are native samplers of the same weights. "
        "A value far above all others is drawn at the upper edge, with an arrow and its number."
    )
    return Drawing(figure, title, reading + lacking(section, pandas.concat([facet.lost for facet in facets])))


def _facet(data: FigureData, cost: str, quality: str) -> Facet | None:
    """The rows of the table that have both numbers; native samplers too where sampling is what costs."""
    section, costs, qualities = data.section, data.scores(cost), data.scores(quality)
    if not costs or not qualities:
        return None
    mine = of_section(data.cells, section)
    measured = mine[(mine["mean"].abs() < math.inf) & (mine.baseline != FLOOR)]
    row = ["variant", "sampler"]
    x = measured[(measured.metric == cost) & (measured.settings == costs.settings)].set_index(row)
    y = measured[(measured.metric == quality) & (measured.settings == qualities.settings)].set_index(row)
    points = []
    for key in x.index.intersection(y.index, sort=False):
        variant, sampler = map(str, key)
        native = bool(x.native[key])
        label = f"{section.labels[variant]} {sampler.split(', ')[0]}" if native else section.labels[variant]
        points.append(Point(label, section.looks[variant], _interval(x, key), _interval(y, key), native))
    lost = mine[(mine.metric == quality) & (mine.settings == qualities.settings) & (mine.lost > 0) & (mine.n == 0)]
    place = [x["mean"].get(key, math.nan) for key in zip(lost.variant, lost.sampler, strict=True)]
    return Facet(costs, qualities, points, lost.assign(cost=place, reason=lost.hole)) if len(points) > 1 else None


def _interval(cells: "DataFrame", key: Any) -> Interval:
    return Interval(float(cells["mean"][key]), float(cells.half_width[key]), int(cells.n[key]))


def _draw(axes: "Axes", facet: Facet) -> None:
    costs = [point.cost.mean for point in facet.points]
    qualities = [point.quality.mean for point in facet.points]
    low = min([*qualities, *([facet.quality.floor] if facet.quality.floor is not None else [])])
    high = ceiling(qualities, low)
    for point in facet.points:
        (x, dx, _), (y, dy, _) = point.cost, point.quality
        colour = point.look.colour
        if point.cost.n >= LEAST_SEEDS:
            axes.errorbar(x, y, dy, min(dx, 0.9 * x), color=colour, alpha=0.3, linewidth=1, zorder=2)
        axes.plot(
            [x], [min(y, high)], point.look.marker, markersize=9, zorder=3, color="white" if point.native else colour,
            markeredgecolor=colour if point.native else "white", markeredgewidth=1.4 if point.native else 0.6,
        )  # fmt: skip
    margin = (high - low or abs(high) or 1) * 0.12
    reach = [*costs, *facet.lost.cost[facet.lost.cost > 0]]
    axes.set(xscale="log", xlim=(min(reach) / 1.45, max(reach) * 1.7), ylim=(low - margin, high + margin))
    if low > 0 and high / low > 20:
        axes.set(yscale="log", ylim=(low / 1.4, high * 1.4))
        plain_log(axes.yaxis)
    front = facet.front
    costs_on, qualities_on = [p.cost.mean for p in front], [p.quality.mean for p in front]
    corners = [costs_on[0], *costs_on, 10 * max(costs)], [high + 10 * margin, *qualities_on, qualities_on[-1]]
    axes.step(corners[0], corners[1], where="post", color=FRONT, linewidth=1.4, zorder=1)
    if facet.quality.floor is not None:
        floor_line(axes, facet.quality.floor, facet.quality.floor_text, right=True)
    axes.set(xlabel=_axis(facet.cost), ylabel=_axis(facet.quality))
    plain_log(axes.xaxis)
    labels = [
        Label(_told(p, high), p.cost.mean, min(p.quality.mean, high), p.look.colour, not p.native, p in front)
        for p in facet.points
    ]
    place_labels(axes, labels)


def ceiling(values: Sequence[float], low: float) -> float:
    """The highest value, or three times as far above `low` as four fifths of them lie, where some lie beyond."""
    most = sorted(values)[math.ceil(0.8 * len(values)) - 1]
    return max(values) if most <= low else min(max(values), low + 3 * (most - low))


def _told(point: Point, high: float) -> str:
    """A name, with the value where it is above the axis."""
    beyond = point.quality.mean > high
    return f"{point.label} ↑ {numbers.mean(*point.quality[:2])}" if beyond else point.label


def _axis(found: Scores) -> str:
    return titled(found.about, json.loads(found.settings).get("n"))
