"""What training buys: held-out quality and sampling NFE against steps, seconds and evaluations of the network.

Seeds are joined at the same step of training, at their mean seconds there.
"""

import math
from typing import TYPE_CHECKING, Any

from bench.report import numbers, vocabulary
from bench.report.artefacts import Artefacts
from bench.report.plots.axes import (
    LEGEND,
    crosses,
    curves,
    floor_line,
    lacking,
    legend,
    limit,
    means,
    plain_log,
    titled,
)
from bench.report.plots.canvas import WIDTH, Drawing, fitting, sheet
from bench.report.scores import likelihood_metric, scores
from bench.report.sections import Section, of_one_kind

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame, Series

COSTS = {
    "step": "Training steps",
    "seconds": "Training time [s], without evaluation",
    "nfe": "Training NFE [network evaluations, forward and adjoint]",
}
LINES = "Lines: mean over seeds; bands: 95% t-intervals from three seeds on."


def over_training(section: Section, cells: "DataFrame", artefacts: Artefacts) -> list[Drawing]:
    """A figure for every quality that was validated in the course of training: against steps and against seconds."""
    quality = [metric for metric in validated(section) if vocabulary.metric(metric).group == "quality"]
    return [_over_training(section, cells, metric) for metric in quality]


def _over_training(section: Section, cells: "DataFrame", metric: str) -> Drawing:
    about, points = vocabulary.metric(metric), course(section, metric)
    figure, cut = _panels(section, cells, points, metric, ["step", "seconds"])
    final = _final(points, about)
    statement = f"{about.title} in the course of training"
    if len(final) > 1:
        best = final.iloc[0]
        name, reached = section.labels[best.variant], _reached(about, final, best)
        after, seconds = f"{best.step:,.0f} steps", numbers.plain(best.seconds, 3)
        statement = fitting(
            f"{name} ends at the {about.superlative} {reached}, after {after} and {seconds} s of training",
            f"{name} ends at the {about.superlative} {reached}, after {after}",
        )
    reading = (
        f"{about.title} on held-out data against training steps and against the seconds of those steps alone, both on "
        f"logarithmic axes. {LINES} A curve further to the left and lower buys the same quality for less: on the left "
        "in steps, on the right in time, where a simulation-based step pays for its ODE solve."
    )
    return Drawing(f"{section.stem}_{metric}_over_training", figure, statement, reading + cut)


def over_training_nfe(section: Section, cells: "DataFrame", artefacts: Artefacts) -> Drawing | None:
    """Likelihood against the evaluations of the network that training has taken, whatever a step or a second is."""
    metric = likelihood_metric(section)
    if metric not in validated(section):
        return None
    about, points = vocabulary.metric(metric), course(section, metric)
    figure, cut = _panels(section, cells, points, metric, ["nfe"])
    final = _final(points, about)
    statement = f"{about.title} against evaluations of the network in training"
    if len(final) > 1:
        best, most = final.iloc[0], final.sort_values("nfe").iloc[-1]
        said = f"{section.labels[best.variant]} ends at the {about.superlative} {_reached(about, final, best)}"
        after = f"{said}, after {best.nfe:,.0f} network evaluations"
        other = f"; {section.labels[most.variant]} takes {most.nfe:,.0f}" if most.variant != best.variant else ""
        statement = fitting(after + other, after)
    reading = (
        "One evaluation is one pass of a batch through the network. Simulation-free methods take one a step; "
        f"simulation-based ones solve an ODE and its adjoint in every step. {LINES}"
    )
    return Drawing(f"{section.stem}_{metric}_over_training_nfe", figure, statement, reading + cut)


def sampling_nfe(section: Section, cells: "DataFrame", artefacts: Artefacts) -> Drawing | None:
    """Evaluations that the adaptive solver needs for samples, while the network trains."""
    metric = "nfe_sampling"
    if metric not in validated(section):
        return None
    points = course(section, metric)
    figure, cut = _panels(section, cells, points, metric, ["step"])
    by_variant = points.groupby("variant").value
    spread = (by_variant.max() / by_variant.min()).sort_values()
    statement = "Sampling NFE in the course of training"
    if len(spread) > 1:

        def varies(variant: str) -> str:
            return f"{section.labels[variant]} ({by_variant.min()[variant]:.3g} to {by_variant.max()[variant]:.3g})"

        least, most = str(spread.index[0]), str(spread.index[-1])
        statement = fitting(
            f"While training, sampling NFE varies least for {varies(least)} and most for {varies(most)}",
            f"Sampling NFE varies least for {varies(least)}, most for {varies(most)}",
        )
    kind = vocabulary.solver(of_one_kind(section.curve[section.curve.metric == metric]).parsed.iloc[0])
    reading = (
        f"Evaluations of the velocity field for one batch of samples by {kind}, against training steps on a "
        f"logarithmic axis. A field that stays smooth while it is learnt keeps its curve level. {LINES}"
    )
    return Drawing(f"{section.stem}_nfe_sampling_over_training", figure, statement, reading + cut)


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


def _panels(
    section: Section, cells: "DataFrame", points: "DataFrame", metric: str, costs: list[str]
) -> "tuple[Figure, str]":
    """One panel a cost, all on one axis of the metric, the legend at the right; what was cut off or lost, in words."""
    about, found = vocabulary.metric(metric), scores(section, cells, metric)
    gap = 0.22
    width = (WIDTH - 0.75 - LEGEND - gap * (len(costs) - 1)) / len(costs)
    figure, axes = sheet(1, len(costs), (width, 3.5), (gap, 0), left=0.75, right=LEGEND, bottom=0.6, head=0.05)
    lost = section.lost_curve[section.lost_curve.metric == metric]
    lost = lost.assign(nfe=lost.evaluations).drop_duplicates(["variant", "step"])
    floor = found.floor if found and about.group == "quality" else None
    distance = about.unit != "nats" and metric != "nll_bpd" and about.group == "quality"
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
        for one in axes[0]:
            floor_line(one, floor, found.floor_text if one is axes[0][0] else "")
    axes[0][0].set_ylabel(titled(about, points.n.iloc[0]))
    final = _final(points, about)
    ends = {variant: _end(about, final, value) for variant, value in zip(final.variant, final.value, strict=True)}
    legend(section, axes[0][-1], ends, "last point, mean")
    return figure, cut + lacking(section, lost)


def _final(points: "DataFrame", about: vocabulary.Metric) -> "DataFrame":
    """The last point of every variant, the best first."""
    last = points.sort_values("place").groupby("variant").tail(1)
    return last.sort_values("value", ascending=about.better != "higher")


def _end(about: vocabulary.Metric, final: "DataFrame", value: float) -> str:
    """A last value, in whole evaluations or with as many digits as the variants' median needs for three."""
    if about.group == "cost":
        return numbers.fixed(value, 0)
    return numbers.fixed(value, 2 - math.floor(math.log10(max(final.value.abs().median(), 1e-6))))


def _reached(about: vocabulary.Metric, final: "DataFrame", best: "Series[Any]") -> str:
    return f"{about.title}, {_end(about, final, best.value)}{f' {about.unit}' if about.unit else ''}"
