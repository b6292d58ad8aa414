"""Methods that do not share their samplers: a panel per quality, a line per method through its best samplers."""

import math

import pandas
from matplotlib.axes import Axes

from bench.report.axes import above_noise, crosses, curves, floor_line, lacking, legend, log_scaled, sign_of, titled
from bench.report.by_method import Best, best, lost_within, standing
from bench.report.canvas import panels
from bench.report.cells import floor_text
from bench.report.extract import each
from bench.report.figure import Drawing, FigureData, register_figure
from bench.report.sections import Section
from bench.report.sweeps import floor_of, qualities

ACROSS = 2  # panels
HEIGHT, LINE = 3.1, 0.185  # inches at least, and of a line of the legend


@register_figure("by_method", title="Quality against evaluations of the network, by method", place=62)
def by_method(data: FigureData) -> Drawing | None:
    """A panel per quality of a sweep whose methods do not share its samplers (bench/report/by_method.py)."""
    section = data.section
    swept = {metric: found for metric in qualities(section) if (found := best(section, metric))}
    if not swept:
        return None
    everything = pandas.concat([found.points for found in swept.values()])
    height = max(HEIGHT, LINE * everything.variant.nunique())
    figure, grid = panels(len(swept), height, ACROSS)
    words = dict.fromkeys(
        sentence
        for axes, (metric, found) in zip(grid, swept.items(), strict=True)
        for sentence in _drawn(section, axes, metric, found)
    )
    first, found = next(iter(swept.items()))
    ranked = found.points.assign(signed=sign_of(section.about(first)) * found.points.value)
    order = ranked.sort_values(["budget", "signed"]).variant.unique()
    legend(section, grid[min(ACROSS, len(grid)) - 1], dict.fromkeys(order, ""), "")
    reading = (
        "Both axes are logarithmic. A line joins what the best sampler of a method reaches at every number of "
        "evaluations, by its mean over seeds; bars are 95% t-intervals from three seeds on. A large marker without a "
        "line is a method of one such number. The legend has the order at the fewest evaluations."
    )
    told = [reading, *(f"{sentence}" for sentence in standing(section, found)), *words]
    return Drawing(figure, reading=" ".join(sentence.strip() for sentence in told if sentence))


def _drawn(section: Section, axes: Axes, metric: str, found: Best) -> list[str]:
    """Draw a quality; what its axis hides, and what it lacks, in sentences."""
    floor = floor_of(section, metric, found.rows)
    points, shown, below = above_noise(found.points, floor)
    curves(section.looks, axes, points, "nfe", bands=False)
    for row in each(points[points.low.notna()]):
        down = min(row.value - row.low, 0.9 * abs(row.value))
        bars = [[down], [row.high - row.value]]
        axes.errorbar(row.nfe, row.value, bars, color=section.looks[row.variant].colour, alpha=0.45, linewidth=1.2)
    alone = points[points.groupby("variant").budget.transform("size") == 1]
    for row in each(alone):
        look = section.looks[row.variant]
        axes.plot([row.nfe], [row.value], look.marker, color=look.colour, markersize=11, markeredgecolor="white")
    above = log_scaled(axes, points, found.budgets, shown and shown[0])
    lost = lost_within(found)
    crosses(section.looks, axes, lost, "nfe", "budget")
    if floor and shown:
        floor_line(axes, *shown, floor_text(metric, floor[0]))
    n = points.n.iloc[0]
    axes.set(xlabel="NFE [evaluations]", ylabel=titled(section.about(metric), n if math.isfinite(n) else None))
    return [above, below, lacking(section, lost)]
