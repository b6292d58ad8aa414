"""What is measured against what is printed: a panel per metric of each printed table, over all of its data."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from pandas import DataFrame

from bench.report import vocabulary
from bench.report.axes import DASHES, plain_log
from bench.report.canvas import legible, panels
from bench.report.extract import each
from bench.report.figure import Drawing
from bench.report.reproduced import TABLE, WITHIN, tables, variants
from bench.report.style import INK, Look, looks

SIDE, ACROSS = 3.2, 2  # inches, and panels in a row
DECADE = 10.0  # from the largest to the least of a panel, from which on its axes are logarithmic
READING = (
    "A mark is a cell of the printed table, on the dashed line where both means agree; bars are standard deviations "
    "over seeds. A black edge: outside the joint 95% interval. Hollow: a further variant of its method."
)


def printed_drawings(cells: DataFrame, company: Sequence[str]) -> Iterator[Drawing]:
    """One a printed table with verdicts, from cells as bench/report/published.py has them; `company` shares looks."""
    for title, where, of_table in tables(cells):
        of = of_table.assign(variant=variants(of_table))
        of = of[of.verdict != ""]
        look = looks({*company, *of.method})
        metrics = list(of.metric.unique())
        figure, grid = panels(len(metrics), SIDE, ACROSS, widest=SIDE)
        for axes, metric in zip(grid, metrics, strict=True):
            _panel(axes, of[of.metric == metric], look)
            axes.set_title(vocabulary.metric(metric).title, weight="bold")
        _legend(grid[min(ACROSS, len(grid)) - 1], dict(zip(of.method, of.printed_label, strict=True)), look)
        name = "-".join(["printed", *of[TABLE].iloc[0]])
        yield Drawing(figure, f"{title}: measured against printed", READING, name, where)


def _panel(axes: Axes, cells: DataFrame, look: Mapping[str, Look]) -> None:
    values = [*cells.published, *cells["mean"]]
    is_log = min(values) > 0 and max(values) / min(values) > DECADE
    for cell in each(cells):
        colour, marker, _ = look[cell.method]
        bars = [
            _bar(value, std, is_log) for value, std in ((cell.published, cell.published_std), (cell.mean, cell.std))
        ]
        style: dict[str, Any] = {"markerfacecolor": "white" if cell.variant else colour, "markersize": 7}
        style["markeredgecolor"] = INK if cell.verdict != WITHIN else colour if cell.variant else "white"
        axes.errorbar(cell.published, cell.mean, bars[1], bars[0], marker, color=colour, elinewidth=1, **style)
    edges = [edge for cell in each(cells) for edge in (cell.published + cell.published_std, cell.mean + cell.std)]
    low, high = min(values), max(edges)
    axes.set(xscale="log" if is_log else "linear", yscale="log" if is_log else "linear")
    room = (low / 1.6, high * 1.2) if is_log else (min(0.0, low - 0.1 * (high - low)), high + 0.05 * (high - low))
    axes.set(xlim=room, ylim=room, xlabel="printed", ylabel="measured", aspect="equal")
    axes.plot(room, room, color=INK, linewidth=1, linestyle=DASHES, zorder=1)
    for axis in (axes.xaxis, axes.yaxis) if is_log else ():
        plain_log(axis)


def _bar(value: float, std: float, is_log: bool) -> list[list[float]]:
    """How far down and up a bar goes; on a logarithmic axis never down to zero."""
    return [[min(std, 0.9 * value) if is_log else std], [std]] if math.isfinite(std) else [[0.0], [0.0]]


def _legend(axes: Axes, labels: Mapping[str, str], look: Mapping[str, Look]) -> None:
    handles = [
        Line2D([], [], color=look[name].colour, marker=look[name].marker, linestyle="", label=label)
        for name, label in labels.items()
    ]
    style: dict[str, Any] = {"labelcolor": [legible(look[name].colour) for name in labels], "borderaxespad": 0}
    axes.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1.04, 1.0), prop={"weight": "bold", "size": 9}, **style
    )
