"""Likelihood against the evaluations of the network that training has taken, whatever a step or a second is."""

from bench.report.course import LINES, panels, validated
from bench.report.figure import Drawing, FigureData, register_figure
from bench.report.scores import likelihood_metric


@register_figure("over_training_nfe", title="Likelihood against evaluations of the network in training", place=40)
def over_training_nfe(data: FigureData) -> Drawing | None:
    metric = likelihood_metric(data.section)
    if metric not in validated(data.section):
        return None
    figure, cut = panels(data, metric, ["nfe"])
    title = f"{data.section.about(metric).title} against evaluations of the network in training"
    reading = (
        "One evaluation is one pass of a batch through the network. Simulation-free methods take one a step; "
        f"simulation-based ones solve an ODE and its adjoint in every step. {LINES}"
    )
    return Drawing(figure, title, reading + cut, f"{metric}_over_training_nfe")
