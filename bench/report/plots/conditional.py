"""The conditional path of a method: its field u_t(x | x1), which carries noise to one data point x1, and its flow.

Methods that learn one path share a row, whatever their losses are.
"""

from typing import TYPE_CHECKING, Any

from bench.report.artefacts import Artefacts, Exhibit
from bench.report.plots.canvas import Drawing, fitting, thinned
from bench.report.plots.mosaic import Mosaic
from bench.report.sections import Section, listed
from bench.report.style import INK, NOISE

if TYPE_CHECKING:
    import numpy as np
    from pandas import DataFrame

    Array = np.ndarray[Any, Any]

FIELDS, PATHS = "conditional_fields", "conditional_paths"
ARRAYS = {FIELDS: 4, PATHS: 3, "conditional_field_times": 1, "conditional_target": 1}
BAR = 0.72  # inches at the right
CROSS = "#ff8c69"


def conditional(section: Section, cells: "DataFrame", artefacts: Artefacts) -> Drawing | None:
    """A row for every distinct path: speed and direction of its field at several t, then its trajectories."""
    import numpy as np
    import seaborn
    from matplotlib.colors import ListedColormap, LogNorm

    groups = distinct(artefacts.exhibits(section, "samples", ARRAYS))
    if not groups:
        return None
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
    box = mosaic.axes.get_position()
    width = mosaic.figure.get_figwidth()
    place = box.x1 + 0.1 / width, box.y0, 0.1 / width, box.height
    bar = mosaic.figure.colorbar(image, cax=mosaic.figure.add_axes(place), format=lambda value, _: f"{value:g}")
    bar.set_label("speed |u|", size=8)
    bar.ax.tick_params(labelsize=7.5, length=2)
    bar.outline.set_visible(False)
    reading = (
        "Colour: speed, on one logarithmic scale; arrows: direction; the cross: the data point x₁. At the right "
        "the trajectories of 64 noise samples (grey) to x₁, with dots at equal times. A field that keeps its direction "
        "leads along straight lines. Methods of one path share a row."
    )
    return Drawing(
        f"{section.stem}_conditional", mosaic.figure, _said(groups), reading, "the paths, not what was learnt"
    )


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


def detour(paths: "Array") -> float:
    """Mean length of paths (T, n, 2) over the mean distance between their ends: 1 for straight lines."""
    import numpy as np

    paths = paths.astype(float)
    length = np.linalg.norm(np.diff(paths, axis=0), axis=-1).sum(0)
    return float(length.mean() / np.linalg.norm(paths[-1] - paths[0], axis=-1).mean())


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


def _said(groups: list[list[Exhibit]]) -> str:
    detours = [detour(group[0].arrays[PATHS]) for group in groups]
    if len(groups) == 1:
        return f"All paths to one data point are one, {detours[0]:.2f} times as long as a straight line"
    short, long = detours.index(min(detours)), detours.index(max(detours))
    near, far = groups[short][0].label, groups[long][0].label
    return fitting(
        f"To one data point {near} takes {detours[short]:.2f} times the straight way, {far} {detours[long]:.2f} times",
        f"The shortest path to one data point is {detours[short]:.2f}, the longest {detours[long]:.2f} straight lines",
    )
