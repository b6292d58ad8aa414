"""What quality costs: one point a baseline, the Pareto front marked."""

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.report.artefacts import Artefacts
from bench.report.cells import FLOOR, Interval, of_section
from bench.report.plots.canvas import WIDTH, Drawing, entitle, legible, sheet
from bench.report.plots.axes import LEAST_SEEDS, plain_log
from bench.report.scores import Scores, distance_metric, likelihood_metric, scores
from bench.report.sections import Section, listed
from bench.report.style import INK, NOISE, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame


PLACES = ((9, 0), (-9, 0), (0, 12), (0, -12), (8, 9), (8, -9), (-8, 9), (-8, -9), (9, 17), (9, -17), (-9, 17), (-9, -17))

BELOW = ((7, -10), (-7, -10), (0, -13))  # where the steps of the front do not pass


class Box(NamedTuple):
    """A rectangle in pixels."""

    x0: float
    y0: float
    x1: float
    y1: float

    def meets(self, other: "Box") -> bool:
        return self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1


class Point(NamedTuple):
    """One baseline, or one native sampler of it."""

    label: str
    look: Look
    cost: Interval
    quality: Interval
    native: bool


class Facet(NamedTuple):
    """Points of one cost and one quality, lower being better for both."""

    cost: Scores
    quality: Scores
    points: list[Point]

    @property
    def front(self) -> list[Point]:
        """Points that no other is at least as good as in both and better in one, cheapest first."""
        ordered = sorted(self.points, key=lambda p: (p.cost.mean, p.quality.mean))
        front: list[Point] = []
        for point in ordered:
            if not front or point.quality.mean < front[-1].quality.mean:
                front.append(point)
        return front


def cost_quality(section: Section, cells: "DataFrame", artefacts: Artefacts) -> Drawing | None:
    """Training seconds against likelihood, sampling seconds against the distance to the data."""
    pairs = [("train_seconds", likelihood_metric(section)), ("sampling_seconds", distance_metric(section))]
    facets = [facet for cost, quality in pairs if quality and (facet := _facet(section, cells, cost, quality))]
    if not facets:
        return None
    gap = 0.95
    width = min(5.4, (WIDTH - 0.8 - 0.2 - gap * (len(facets) - 1)) / len(facets))
    figure, axes = sheet(1, len(facets), (width, 3.6), (gap, 0), left=0.8, bottom=0.6, head=0.1)
    for one, facet in zip(axes[0], facets, strict=True):
        _draw(one, facet)
    front = facets[0].front
    names = listed(point.label for point in front)
    what = f"{facets[0].cost.about.title.lower()} time and {facets[0].quality.about.title}"
    alone = f"No baseline beats {names} in {facets[0].cost.about.title.lower()} time or in {facets[0].quality.about.title}"
    statement = alone if len(front) == 1 else f"{names} are on the Pareto front of {what}"
    if len(statement) > 95:
        statement = f"{len(front)} of {len(facets[0].points)} baselines are on the Pareto front of {what}"
    entitle(figure, statement, section.caption)
    reading = (
        "Down and left is better; the cost axis is logarithmic. Bars are 95% t-intervals from three seeds on. The grey steps "
        "join the points that no other beats in both; hollow markers are native samplers of the same weights."
    )
    return Drawing(f"{section.stem}_cost_quality", figure, statement, reading)


def _facet(section: Section, cells: "DataFrame", cost: str, quality: str) -> Facet | None:
    """The rows of the table that have both numbers; native samplers too where sampling is what costs."""
    costs, qualities = scores(section, cells, cost), scores(section, cells, quality)
    if not costs or not qualities:
        return None
    measured = of_section(cells, section)
    measured = measured[(measured.n > 0) & (measured.baseline != FLOOR)]
    row = ["variant", "sampler"]
    x = measured[(measured.metric == cost) & (measured.settings == costs.settings)].set_index(row)
    y = measured[(measured.metric == quality) & (measured.settings == qualities.settings)].set_index(row)
    points = []
    for key in x.index.intersection(y.index, sort=False):
        variant, sampler = map(str, key)
        native = bool(x.native[key])
        label = f"{section.labels[variant]} {sampler.split(', ')[0]}" if native else section.labels[variant]
        points.append(Point(label, section.looks[variant], _interval(x, key), _interval(y, key), native))
    return Facet(costs, qualities, points) if len(points) > 1 else None


def _interval(cells: "DataFrame", key: Any) -> Interval:
    return Interval(float(cells["mean"][key]), float(cells.half_width[key]), int(cells.n[key]))


def _draw(axes: "Axes", facet: Facet) -> None:
    for point in facet.points:
        (x, dx, _), (y, dy, _) = point.cost, point.quality
        colour = point.look.colour
        if point.cost.n >= LEAST_SEEDS:
            axes.errorbar(x, y, dy, min(dx, 0.9 * x), color=colour, alpha=0.35, linewidth=1, zorder=2)
        axes.plot(
            [x], [y], point.look.marker, markersize=9, zorder=3, color="white" if point.native else colour,
            markeredgecolor=colour if point.native else "white", markeredgewidth=1.4 if point.native else 0.6,
        )  # fmt: skip
    costs = [point.cost.mean for point in facet.points]
    qualities = [point.quality.mean for point in facet.points]
    low, high = min([*qualities, *([facet.quality.floor] if facet.quality.floor is not None else [])]), max(qualities)
    margin = (high - low or abs(high) or 1) * 0.12
    axes.set(xscale="log", xlim=(min(costs) / 1.45, max(costs) * 1.7), ylim=(low - margin, high + margin))
    if low > 0 and high / low > 20:
        axes.set(yscale="log", ylim=(low / 1.4, high * 1.4))
        plain_log(axes.yaxis)
    x = [point.cost.mean for point in facet.front]
    y = [point.quality.mean for point in facet.front]
    axes.step([x[0], *x, 10 * max(costs)], [10 * high, *y, y[-1]], where="post", color=NOISE, linewidth=1.1, zorder=1)
    if facet.quality.floor is not None:
        axes.axhline(facet.quality.floor, color=INK, linewidth=1, linestyle=(0, (5, 3)), zorder=1)
        place = axes.get_yaxis_transform()
        text = f"exact density {facet.quality.floor:.3f}"
        axes.text(0.99, facet.quality.floor, text, transform=place, ha="right", va="bottom", size=8.5, color=INK)
    axes.set(xlabel=_axis(facet.cost, "time"), ylabel=_axis(facet.quality, ""))
    plain_log(axes.xaxis)
    _label(axes, facet.points, facet.front)


def _axis(found: Scores, noun: str) -> str:
    settings = json.loads(found.settings)
    n = f", n = {settings['n']:,}" if "n" in settings else ""
    unit = f" [{found.about.unit}]" if found.about.unit else ""
    return f"{found.about.title} {noun}".strip() + unit + n


def _label(axes: "Axes", points: Sequence[Point], front: Sequence[Point]) -> None:
    """Names beside their points, each at the first of eight places where it covers no point and no other name."""
    figure = axes.figure
    scale = figure.dpi / 72
    to_pixels = axes.transData.transform
    taken = [Box(x - 6 * scale, y - 6 * scale, x + 6 * scale, y + 6 * scale) for x, y in (
        to_pixels((point.cost.mean, point.quality.mean)) for point in points
    )]  # fmt: skip
    frame = axes.get_window_extent()
    for point in sorted(points, key=lambda p: p.quality.mean):
        x, y = to_pixels((point.cost.mean, point.quality.mean))
        width, height = 4.9 * len(point.label) * scale, 9 * scale
        places = BELOW + PLACES if point in front else PLACES
        for dx, dy in places:
            left = x + dx * scale - (width if dx < 0 else width / 2 if dx == 0 else 0)
            box = Box(left, y + dy * scale - height / 2, left + width, y + dy * scale + height / 2)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not any(box.meets(other) for other in taken):
                break
        else:
            dx, dy = places[0]
        taken.append(box)
        axes.annotate(
            point.label, (point.cost.mean, point.quality.mean), (dx, dy), textcoords="offset points", va="center",
            ha="right" if dx < 0 else "center" if dx == 0 else "left", size=8.5, color=legible(point.look.colour),
            weight="normal" if point.native else "bold",
        )  # fmt: skip
