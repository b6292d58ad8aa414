"""Evaluations that the adaptive solver needs for samples, while the network trains."""

from bench.report import vocabulary
from bench.report.comparable import of_one_kind
from bench.report.course import LINES, panels, validated
from bench.report.figure import Drawing, FigureData, register_figure


@register_figure("nfe_sampling_over_training", title="Sampling NFE in the course of training", place=50)
def nfe_sampling_over_training(data: FigureData) -> Drawing | None:
    curve = data.section.curve
    if "nfe_sampling" not in validated(data.section):
        return None
    figure, cut = panels(data, "nfe_sampling", ["step"])
    kind = vocabulary.solver(of_one_kind(curve[curve.metric == "nfe_sampling"]).parsed.iloc[0])
    reading = (
        f"Evaluations of the velocity field for one batch of samples by {kind}, against training steps on a "
        f"logarithmic axis. A field that stays smooth while it is learnt keeps its curve level. {LINES}"
    )
    return Drawing(figure, reading=reading + cut)
