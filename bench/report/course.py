"""The course of training: metrics at every validation against steps, seconds and evaluations of the network.

Seeds are joined at the same step of training, at their mean seconds there.
"""

import math
from typing import TYPE_CHECKING

from bench.report import numbers, vocabulary
from bench.report.axes import LEGEND, crosses, curves, floor_line, lacking, legend, limit, means, plain_log, titled
from bench.report.canvas import WIDTH, sheet
from bench.report.comparable import of_one_kind
from bench.report.figure import FigureData
from bench.report.sections import Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

COSTS = {
    "step": "Training steps",
    "seconds": "Training time [s], without evaluation",
    "nfe": "Training NFE [network evaluations, forward and adjoint]",
}
LINES = "Lines: mean over seeds; bands: 95% t-intervals from three seeds on."


def validated(section: Section) -> list[str]:
    """The metrics that have a curve, of more than one point, in the order of the table's columns."""
    return sorted(set(section.curve.metric[section.curve.point > 0]), key=vocabulary.order)


def course(section: Section, metric: str) -> "DataFrame":
    """Means over seeds (see `means`) at every validation, with its step, seconds and nfe."""
    rows = of_one_kind(section.curve[section.curve.metric == metric])
    rows = rows.assign(nfe=rows.evaluations)
    # A budget of seconds ends at another step for every seed, and then the place in the run is what they share.
    last = rows.groupby(["variant", "run_id"]).step.max()
    by_steps = bool((last.groupby("variant").nunique() == 1).all())
    return means(rows.assign(place=rows.step if by_steps else rows.point), ["place"], ["step", "seconds", "nfe", "n"])


def panels(data: FigureData, metric: str, costs: list[str]) -> "tuple[Figure, str]":
    """One panel a cost, all on one axis of the metric, the legend at the right; what was cut off or lost, in words."""
    section, about, found = data.section, data.section.about(metric), data.scores(metric)
    points = course(section, metric)
    gap, quality = 0.22, about.group == "quality"
    width = (WIDTH - 0.75 - LEGEND - gap * (len(costs) - 1)) / len(costs)
    figure, axes = sheet(1, len(costs), (width, 3.5), (gap, 0), left=0.75, right=LEGEND, bottom=0.6, head=0.05)
    lost = section.lost_curve[section.lost_curve.metric == metric]
    lost = lost.assign(nfe=lost.evaluations).drop_duplicates(["variant", "step"])
    floor = found.floor if found and quality else None
    distance = about.unit != "nats" and metric != "nll_bpd" and quality
    for one, cost in zip(axes[0], costs, strict=True):
        curves(section, one, points, cost)
        if distance and points.value.min() > 0 and points.value.max() > 4 * points.value.min():
            one.set_yscale("log")
        cut = limit(one, points.value, floor)
        one.set(xscale="log", xlabel=COSTS[cost])
        plain_log(one.xaxis)
        if one.get_yscale() == "log":
            plain_log(one.yaxis)
        crosses(section, one, lost, cost)
        one.tick_params(labelleft=one is axes[0][0])
        if found and floor is not None:
            floor_line(one, floor, found.floor_text if one is axes[0][0] else "")
    axes[0][0].set_ylabel(titled(about, points.n.iloc[0]))
    final = points.sort_values("place").groupby("variant").tail(1)
    final = final.sort_values("value", ascending=about.better != "higher")
    digits = 2 - math.floor(math.log10(max(final.value.abs().median(), 1e-6))) if quality else 0
    ends = {v: numbers.fixed(value, digits) for v, value in zip(final.variant, final.value, strict=True)}
    legend(section, axes[0][-1], ends, "last point, mean")
    return figure, cut + lacking(section, lost)
