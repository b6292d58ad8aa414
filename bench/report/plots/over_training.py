"""Held-out quality in the course of training, against steps and against seconds."""

from collections.abc import Iterator

from bench.report.course import LINES, panels, validated
from bench.report.figure import Drawing, FigureData, register_figure


@register_figure("over_training", title="Quality on held-out data in the course of training", place=30)
def over_training(data: FigureData) -> Iterator[Drawing]:
    """A figure for every quality that was validated."""
    for metric in validated(data.section):
        about = data.section.about(metric)
        if about.group != "quality":
            continue
        figure, cut = panels(data, metric, ["step", "seconds"])
        reading = (
            f"{about.title} on held-out data against training steps and against the seconds of those steps alone, both "
            f"on logarithmic axes. {LINES} A curve further to the left and lower buys the same quality for less: on "
            "the left in steps, on the right in time, where a simulation-based step pays for its ODE solve."
        )
        yield Drawing(figure, f"{about.title} in the course of training", reading + cut, f"{metric}_over_training")
