"""A sheet of image samples of each baseline, beside held-out images where they were kept."""

from typing import Any

from bench.report.artefacts import absent
from bench.report.canvas import ONE_DRAWN, WIDTH, arrange, blank, name_panel, sheet
from bench.report.figure import Drawing, FigureData, register_figure
from bench.report.scores import distance_metric
from bench.report.sheets import show
from bench.report.style import Look

BESIDE = {"Held-out data": "data", "What is given": "given"}


@register_figure("samples", title="Samples of each method from the same noise", arrays={"samples": 4}, place=124)
def samples(data: FigureData) -> Drawing:
    """64 samples a baseline."""
    ends = data.ends(distance_metric(data.section))
    kept = {name: data.kept({key: 4}) for name, key in BESIDE.items()}
    panels: list[tuple[str, Look | None, str, Any]] = [
        (name, None, "", found[0].arrays[BESIDE[name]]) for name, found in kept.items() if found
    ]
    panels += [(e.label, e.look, ends[e.variant], e.arrays["samples"]) for e in data.exhibits]
    rows, columns = arrange(len(panels), 4)
    side = min(2.9, (WIDTH - 0.2 - (columns - 1) * 0.14) / columns)
    figure, grid = sheet(rows, columns, (side, side), (0.14, 0.52), bottom=0.3)
    axes = [one for line in grid for one in line]
    blank(axes[len(panels) :])
    for one, (name, look, note, pictures) in zip(axes, panels, strict=False):
        show(one, pictures)
        name_panel(one, name, look, note)
    reading = (
        "The first samples of one seed, not chosen. The noise is the same in every panel, so images at one place can "
        "be compared."
    )
    return Drawing(figure, reading=reading + absent(data.section, data.exhibits, "samples"), note=ONE_DRAWN)
