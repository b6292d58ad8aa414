"""The way of samples through the plane: where 64 of them start, the way they take, where they end."""

from bench.report.artefacts import absent
from bench.report.canvas import ONE_DRAWN, legible, thinned
from bench.report.figure import Drawing, FigureData, register_figure
from bench.report.planes import panels
from bench.report.style import NOISE


@register_figure("trajectories", title="The way of samples from noise to data", arrays={"trajectories": 3}, place=120)
def trajectories(data: FigureData) -> Drawing:
    """One panel a baseline."""
    from matplotlib.collections import LineCollection

    figure, axes = panels(data.exhibits, data.ends("path_energy"))
    for one, exhibit in zip(axes, data.exhibits, strict=True):
        paths = thinned(exhibit.arrays["trajectories"].astype(float))
        colour = exhibit.look.colour
        one.add_collection(LineCollection(list(paths.transpose(1, 0, 2)), colors=colour, linewidths=0.7, alpha=0.55))
        one.scatter(paths[0, :, 0], paths[0, :, 1], s=5, color=NOISE, linewidths=0, zorder=3)
        one.scatter(paths[-1, :, 0], paths[-1, :, 1], s=7, color=legible(colour), linewidths=0, zorder=4)
    reading = (
        "Grey: noise at t = 0. Lines: the way of 64 samples. Dark: where they end at t = 1. The noise is the same in "
        "every panel; straight lines can be followed in few solver steps."
    )
    return Drawing(figure, reading=reading + absent(data.section, data.exhibits, "samples"), note=ONE_DRAWN)
