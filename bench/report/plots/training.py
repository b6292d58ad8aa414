"""Figures of the course of training: metrics at every validation against evaluations, seconds and samples.

Seeds are joined at the same place of training, at their mean cost there.
"""

import math
from collections.abc import Iterator

from matplotlib.figure import Figure
from pandas import DataFrame

from bench.report import numbers, vocabulary
from bench.report.axes import crosses, curves, floor_line, lacking, legend, limit, plain_log, titled
from bench.report.budget import COUNTED
from bench.report.canvas import LEGEND, WIDTH, sheet
from bench.report.cells import floor_text
from bench.report.course import course, qualities, validated, validations
from bench.report.figure import Drawing, FigureData, register_figure
from bench.report.sweeps import floor_of

LABELS = {
    "step": "Training steps",
    "samples": "Samples seen [thousands]",
    "seconds": "Training time [s]",
    "evaluations": "Evaluations in training [1,000 rows]",
}
THOUSANDS = ("samples", "evaluations")
LINES = "Lines: mean over seeds; bands: 95% t-intervals from three seeds on."


@register_figure(
    "over_training", title="Held-out quality against evaluations, seconds and samples of training", place=30
)
def over_training(data: FigureData) -> Iterator[Drawing]:
    """A figure for every quality that was validated; of the likelihoods the one that verdicts take."""
    for metric in qualities(data.section):
        about = data.section.about(metric)
        figure, cut = _panels(data, metric, ["evaluations", "seconds", "samples"])
        reading = (
            f"{about.title} on held-out data, all on logarithmic axes of cost: evaluations of the network, by which "
            f"budgets are equal where a suite says so; seconds of steps alone; samples seen. {COUNTED} {LINES} A curve "
            "further to the left and lower buys the same quality for less. A simulation-based step pays for its ODE "
            "solve in the first two."
        )
        title = f"{about.title} against evaluations, seconds and samples of training"
        yield Drawing(figure, title, reading + cut, f"{metric}_over_training")


@register_figure("nfe_sampling_over_training", title="Sampling NFE in the course of training", place=50)
def nfe_sampling_over_training(data: FigureData) -> Drawing | None:
    """Evaluations that the adaptive solver needs for samples, while the network trains."""
    if "nfe_sampling" not in validated(data.section):
        return None
    figure, cut = _panels(data, "nfe_sampling", ["step"])
    solver = vocabulary.solver(validations(data.section, "nfe_sampling").parsed.iloc[0])
    reading = (
        f"Evaluations of the velocity field for one batch of samples by {solver}, against training steps on a "
        f"logarithmic axis. A field that stays smooth while it is learnt keeps its curve level. {LINES}"
    )
    return Drawing(figure, reading=reading + cut)


def _panels(data: FigureData, metric: str, costs: list[str]) -> tuple[Figure, str]:
    """One panel a cost, all on one axis of the metric, the legend at the right; what was cut off or lost, in words."""
    section, about, found = data.section, data.section.about(metric), data.section.scores(metric)
    rows, points = (_in_thousands(frame) for frame in (validations(section, metric), course(section, metric)))
    gap, quality = 0.22, about.table == "quality"
    width = (WIDTH - 0.75 - LEGEND - gap * (len(costs) - 1)) / len(costs)
    figure, [axes] = sheet(1, len(costs), (width, 3.5), (gap, 0), left=0.75, right=LEGEND, bottom=0.6, head=0.05)
    floor = floor_of(section, metric, rows)
    if found and found.floor is not None and about.group == "likelihood":  # the same for any n
        floor = found.floor, found.floor_half
    distance = quality and about.group != "likelihood"
    for one, cost in zip(axes, costs, strict=True):
        curves(section.looks, one, points, cost)
        if distance and points.value.min() > 0 and points.value.max() > 4 * points.value.min():
            one.set_yscale("log")
        cut = limit(one, points.value, floor and floor[0])
        one.set(xscale="log", xlabel=LABELS[cost])
        plain_log(one.xaxis)
        if one.get_yscale() == "log":
            plain_log(one.yaxis)
        crosses(section.looks, one, rows, cost, "step")
        one.tick_params(labelleft=one is axes[0])
        if floor:
            floor_line(one, *floor, floor_text(metric, floor[0]) if one is axes[0] else "")
    axes[0].set_ylabel(titled(about, points.n.iloc[0]))
    final = points.sort_values("place").groupby("variant").tail(1)
    final = final.sort_values("value", ascending=about.direction != "higher")
    digits = 2 - math.floor(math.log10(max(final.value.abs().median(), 1e-6))) if quality else 0
    ends = {v: numbers.fixed(value, digits) for v, value in zip(final.variant, final.value, strict=True)}
    legend(section, axes[-1], ends, "last point, mean")
    return figure, cut + lacking(section, rows)


def _in_thousands(rows: DataFrame) -> DataFrame:
    return rows.assign(**{name: rows[name] / 1000 for name in THOUSANDS})
