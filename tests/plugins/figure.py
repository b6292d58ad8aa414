"""How far samples lie from the origin: a histogram per method, that of held-out data behind it."""

import numpy as np
from matplotlib.figure import Figure

from bench import Drawing, register_figure


@register_figure("radii", title="Distance of samples from the origin", arrays={"samples": 2, "data": 2})
def radii(data):
    figure = Figure(figsize=(10, 4))
    axes = figure.add_axes((0.08, 0.14, 0.9, 0.66))
    held_out = np.linalg.norm(data.exhibits[0].arrays["data"].astype(float), axis=1)
    bins = np.linspace(0, 1.5 * held_out.max(), 40)
    for exhibit in data.exhibits:
        radius = np.linalg.norm(exhibit.arrays["samples"].astype(float), axis=1)
        axes.hist(radius, bins, density=True, histtype="step", color=exhibit.look.colour, label=exhibit.label)
    axes.hist(held_out, bins, density=True, color="0.85", zorder=0, label="held-out data")
    axes.set(xlabel="|x|", ylabel="density")
    axes.legend(frameon=False)
    return Drawing(figure, reading="The grey area is held-out data; a line that leaves it is mass in the wrong place.")
