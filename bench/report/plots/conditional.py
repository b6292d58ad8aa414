"""The conditional path of a method: its field u_t(x | x1), which carries noise to one data point x1, and its flow.

Methods that learn one path share a row, whatever their losses are.
"""

from typing import TYPE_CHECKING, Any

from bench.report.artefacts import Exhibit
from bench.report.canvas import thinned
from bench.report.figure import Drawing, FigureData, register_figure
from bench.report.mosaic import Mosaic
from bench.report.planes import colour_bar
from bench.report.sections import listed
from bench.report.style import INK, NOISE

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

FIELDS, PATHS = "conditional_fields", "conditional_paths"
ARRAYS = {FIELDS: 4, PATHS: 3, "conditional_field_times": 1, "conditional_target": 1}
BAR = 0.72  # inches at the right
CROSS = "#ff8c69"


@register_figure(
    "conditional",
    title="The conditional paths to one data point: speed, direction, trajectories",
    arrays=ARRAYS,
    place=110,
)
def conditional(data: FigureData) -> Drawing:
    """A row for every distinct path: speed and direction of its field at several t, then its trajectories."""
    import numpy as np
    import seaborn
    from matplotlib.colors import ListedColormap, LogNorm

    groups = distinct(data.exhibits)
    first = groups[0][0].arrays
    times = first["conditional_field_times"].astype(float)
    moments = [*(f"t = {t:.2g}" for t in times.round(2)), "trajectories to x₁"]
    names = [(listed(e.label for e in group), group[0].look if len(group) == 1 else None) for group in groups]
    mosaic = Mosaic(names, moments, right=BAR)
    fields = [_centred(group[0].arrays[FIELDS].astype(float)) for group in groups]
    speeds = np.linalg.norm(fields, axis=-1)
    low, high = np.nanquantile(speeds, [0.02, 0.98])
    # Without the palest colours, before which white arrows could not be seen.
    colours = ListedColormap(seaborn.color_palette("mako_r", as_cmap=True)(np.linspace(0.25, 0.95, 256)))
    norm = LogNorm(max(low, high * 1e-3), high)
    for i, group in enumerate(groups):
        for j in range(len(times)):
            image = mosaic.picture(
                i, j, speeds[i, j], origin="lower", cmap=colours, norm=norm, interpolation="bilinear"
            )
            _arrows(mosaic, i, j, fields[i][j] / np.maximum(speeds[i, j], 1e-9)[..., None])
            _target(mosaic, i, j, group[0])
        _trajectories(mosaic, i, len(times), group)
    beside = mosaic.axes.get_position()
    colour_bar(mosaic.figure, image, beside, 0.1, "speed |u|", format=lambda value, _: f"{value:g}")
    reading = (
        "Colour: speed, on one logarithmic scale; arrows: direction; the cross: the data point x₁. At the right "
        "the trajectories of 64 noise samples (grey) to x₁, with dots at equal times. A field that keeps its direction "
        "leads along straight lines. Methods of one path share a row."
    )
    return Drawing(mosaic.figure, reading=reading, note="the paths, not what was learnt")


def distinct(exhibits: list[Exhibit]) -> list[list[Exhibit]]:
    """The exhibits grouped by the field of their conditional path."""
    import numpy as np

    groups: list[list[Exhibit]] = []
    for exhibit in exhibits:
        field = exhibit.arrays[FIELDS].astype(float)
        for group in groups:
            known = group[0].arrays[FIELDS].astype(float)
            if known.shape == field.shape and np.allclose(known, field, rtol=0.01, atol=0.01):
                group.append(exhibit)
                break
        else:
            groups.append([exhibit])
    return groups


def _centred(fields: "Array") -> "Array":
    """Fields (T, n, n, 2) at the centres of the grid's cells: the mean of four corners, exact as u is affine in x."""
    return (fields[:, 1:, 1:] + fields[:, 1:, :-1] + fields[:, :-1, 1:] + fields[:, :-1, :-1]) / 4


def _arrows(mosaic: Mosaic, i: int, j: int, directions: "Array") -> None:
    """Unit vectors (n, n, 2) at every other cell."""
    import numpy as np

    (x, y), n, at = mosaic.corner(i, j), len(directions), slice(1, -1, 2)
    places = (np.arange(n)[at] + 0.5) / n
    mosaic.axes.quiver(
        *np.meshgrid(x + places, y + places), directions[at, at, 0], directions[at, at, 1],
        pivot="mid", angles="xy", scale_units="xy", scale=13, width=0.006, units="xy", headwidth=4.5, headlength=4.5,
        headaxislength=4, color="white", alpha=0.85,
    )  # fmt: skip


def _target(mosaic: Mosaic, i: int, j: int, exhibit: Exhibit) -> None:
    x, y = mosaic.inside(i, j, exhibit.arrays["conditional_target"], float(exhibit.arrays["extent"]))
    mosaic.axes.plot([x], [y], "x", color=CROSS, markersize=6, markeredgewidth=1.8, zorder=4)


def _trajectories(mosaic: Mosaic, i: int, j: int, group: list[Exhibit]) -> None:
    from matplotlib.collections import LineCollection

    exhibit, colour = group[0], group[0].look.colour if len(group) == 1 else INK
    paths = mosaic.inside(i, j, thinned(exhibit.arrays[PATHS]), float(exhibit.arrays["extent"]))
    mosaic.axes.add_collection(
        LineCollection(list(paths.transpose(1, 0, 2)), colors=colour, linewidths=0.6, alpha=0.45), autolim=False
    )
    x, y = paths[:: max(1, len(paths) // 9)].reshape(-1, 2).T
    mosaic.axes.scatter(x, y, s=2.2, color=colour, linewidths=0, alpha=0.7, rasterized=True)
    mosaic.axes.scatter(paths[0, :, 0], paths[0, :, 1], s=5, color=NOISE, linewidths=0, zorder=3, rasterized=True)
    _target(mosaic, i, j, exhibit)
