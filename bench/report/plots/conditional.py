"""The conditional path of a method: its field u_t(x | x1), which carries noise to one data point x1, and its flow.

Methods that learn one path share a row, whatever their losses are.
"""

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm

from bench.report.artefacts import Exhibit
from bench.report.canvas import colour_bar, dots, matrix, plane
from bench.report.extract import listed
from bench.report.figure import Drawing, FigureData, register_figure
from bench.report.plots.plane import path_lines, thinned
from bench.report.style import INK

FIELDS = "conditional_fields"
BAR = 0.72  # inches at the right


@register_figure(
    "conditional",
    title="The conditional paths to one data point: speed, direction, trajectories",
    arrays={FIELDS: 4, "conditional_paths": 3, "conditional_field_times": 1, "conditional_target": 1},
    place=110,
)
def conditional(data: FigureData) -> Drawing:
    """A row for every distinct path: speed and direction of its field at several t, then its trajectories."""
    groups = distinct(data.exhibits)
    times = groups[0][0].arrays["conditional_field_times"].astype(float)
    moments = [*(f"t = {t:.2g}" for t in times.round(2)), "trajectories to x₁"]
    names = [(listed(e.label for e in group), group[0].look if len(group) == 1 else None) for group in groups]
    figure, axes = matrix(names, moments, right=BAR)
    corners = np.stack([group[0].arrays[FIELDS].astype(float) for group in groups])  # (groups, T, n + 1, n + 1, 2)
    # The fields at the centres of the grid's cells: the mean of four corners, exact as u is affine in x.
    fields = np.mean([corners[:, :, i : i - 1 or None, j : j - 1 or None] for i in (0, 1) for j in (0, 1)], axis=0)
    speeds = np.linalg.norm(fields, axis=-1)
    low, high = np.nanquantile(speeds, [0.02, 0.98])
    # Without the palest colours, before which white arrows could not be seen.
    colours = ListedColormap(seaborn.color_palette("mako_r", as_cmap=True)(np.linspace(0.25, 0.95, 256)))
    norm = LogNorm(max(low, high * 1e-3), high)
    for line, group, of_group, speed in zip(axes, groups, fields, speeds, strict=True):
        extent = group[0].extent
        for one in line:
            plane(one, extent)
            target = group[0].arrays["conditional_target"]
            one.plot(*target, "x", color="#ff8c69", markersize=6, markeredgewidth=1.8, zorder=4)
        for one, field, moment in zip(line[:-1], of_group, speed, strict=True):
            square = (-extent, extent, -extent, extent)
            image = one.imshow(moment, origin="lower", extent=square, cmap=colours, norm=norm, interpolation="bilinear")
            _arrows(one, field / np.maximum(moment, 1e-9)[..., None], extent)
        paths = thinned(group[0].arrays["conditional_paths"].astype(float))
        equal_times = paths[:: max(1, len(paths) // 9)].reshape(-1, 2)
        colour = group[0].look.colour if len(group) == 1 else INK
        path_lines(line[-1], paths, colour, linewidths=0.6, alpha=0.45)
        dots(line[-1], equal_times, 2.2, colour, alpha=0.7, rasterized=True)
    colour_bar(image, axes[-1][-1], 0.1, "speed |u|", top=axes[0][-1], format=lambda value, _: f"{value:g}")
    reading = (
        "Colour: speed, on one logarithmic scale; arrows: direction; the cross: the data point x₁. At the right "
        "the trajectories of 64 noise samples (grey) to x₁, with dots at equal times. A field that keeps its direction "
        "leads along straight lines. Methods of one path share a row."
    )
    return Drawing(figure, reading=reading, note="the paths, not what was learnt")


def distinct(exhibits: list[Exhibit]) -> list[list[Exhibit]]:
    groups: list[list[Exhibit]] = []
    for exhibit in exhibits:
        field = exhibit.arrays[FIELDS].astype(float)
        alike = [g for g in groups if g[0].arrays[FIELDS].shape == field.shape]
        alike = [g for g in alike if np.allclose(g[0].arrays[FIELDS].astype(float), field, rtol=0.01, atol=0.01)]
        alike[0].append(exhibit) if alike else groups.append([exhibit])
    return groups


def _arrows(axes: Axes, directions: np.ndarray, extent: float) -> None:
    """Unit vectors (n, n, 2) at every other cell of the square [-extent, extent]^2."""
    at, side = slice(1, -1, 2), 2 * extent
    places = ((np.arange(len(directions)) + 0.5) / len(directions) * side - extent)[at]
    axes.quiver(
        *np.meshgrid(places, places), *directions[at, at].transpose(2, 0, 1),
        pivot="mid", angles="xy", scale_units="xy", scale=13 / side, width=0.006 * side, units="xy", headwidth=4.5,
        headlength=4.5, headaxislength=4, color="white", alpha=0.85,
    )  # fmt: skip
