"""The way that a few image samples of each baseline take from noise."""

from bench.report.artefacts import absent
from bench.report.canvas import ONE_DRAWN, WIDTH, arrange, blank, name_panel, sheet
from bench.report.figure import Drawing, FigureData, register_figure
from bench.report.sheets import show
from bench.report.style import MUTED


@register_figure(
    "snapshots", title="The way of samples from noise to image", arrays={"snapshots": 5, "snapshot_times": 1}, place=127
)
def snapshots(data: FigureData) -> Drawing:
    """One panel a baseline: a line of states from noise to image for each of a few samples."""
    import numpy as np

    exhibits, ends = data.exhibits, data.ends("path_energy")
    rows, columns = arrange(len(exhibits), 4)
    moments = len(exhibits[0].arrays["snapshot_times"])
    side = min(2.9, (WIDTH - 0.2 - (columns - 1) * 0.2) / columns)
    figure, grid = sheet(rows, columns, (side, side), (0.2, 0.52), bottom=0.3)
    axes = [one for line in grid for one in line]
    blank(axes[len(exhibits) :])
    for one, exhibit in zip(axes, exhibits, strict=False):
        states = exhibit.arrays["snapshots"][:, :moments]  # as many samples as moments make a square
        show(one, np.concatenate(list(states.swapaxes(0, 1))), across=len(states))
        name_panel(one, exhibit.label, exhibit.look, ends[exhibit.variant])
        first, last = (float(exhibit.arrays["snapshot_times"][k]) for k in (0, -1))
        one.text(0, -0.03, f"t = {first:.2g} to {last:.2g}", transform=one.transAxes, va="top", size=8, color=MUTED)
    reading = (
        "One sample a line, from noise at the left to image at the right at equal times; the noise is the same in "
        "every panel. The earlier an image can be seen, the fewer evaluations are spent on noise."
    )
    return Drawing(figure, reading=reading + absent(data.section, exhibits, "samples"), note=ONE_DRAWN)
