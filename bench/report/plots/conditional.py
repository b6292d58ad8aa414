"""The conditional path of a method: the field u_t(x | x1) that carries noise to one data point x1, and the way it takes.

Methods that learn one path share a row, whatever their losses are.
"""

from typing import TYPE_CHECKING, Any

from bench.report.artefacts import Artefacts, Exhibit
from bench.report.plots.canvas import Drawing, fitting, legible
from bench.report.plots.mosaic import Mosaic
from bench.report.sections import Section, listed
from bench.report.style import INK, NOISE, Look

if TYPE_CHECKING:
    import numpy as np
    from pandas import DataFrame

    Array = np.ndarray[Any, Any]

FIELDS, PATHS = "conditional_fields", "conditional_paths"
ARRAYS = {FIELDS: 4, PATHS: 3, "conditional_field_times": 1, "conditional_target": 1}
BAR = 0.72  # inches at the right


def conditional(section: Section, cells: "DataFrame", artefacts: Artefacts) -> Drawing | None:
    """A row for every distinct path: speed and direction of its field at several t, then its trajectories."""
    import numpy as np
    import seaborn
    from matplotlib.colors import LogNorm

    groups = distinct(artefacts.exhibits(section, "samples", ARRAYS))
    if not groups:
        return None
    first = groups[0][0].arrays
    times = first["conditional_field_times"].astype(float)
    end = round(float(first["conditional_field_times"].max()), 2)
    moments = [*(f"t = {t:.2g}" for t in times.round(2)), "trajectories to x₁"]
    names = [(listed(e.label for e in group), group[0].look if len(group) == 1 else None) for group in groups]
    mosaic = Mosaic(names, moments, right=BAR)
    speeds = [np.linalg.norm(group[0].arrays[FIELDS].astype(float), axis=-1) for group in groups]
    low, high = np.nanquantile(np.stack(speeds), [0.02, 0.98])
    colours = seaborn.color_palette("mako_r", as_cmap=True)
    norm = LogNorm(max(low, high * 1e-3), high)
    for i, (group, speed) in enumerate(zip(groups, speeds, strict=True)):
        for j in range(len(times)):
            image = mosaic.picture(
                i, j, speed[j], origin="lower", cmap=colours, norm=norm, interpolation="bilinear", rasterized=True
            )
            _arrows(mosaic, i, j, group[0], speed[j])
        _trajectories(mosaic, i, len(times), group)
    box = mosaic.axes.get_position()
    width, height = mosaic.figure.get_size_inches()
    place = box.x1 + 0.1 / width, box.y0, 0.1 / width, min(box.height, 1.75 / height)
    bar = mosaic.figure.colorbar(image, cax=mosaic.figure.add_axes(place))
    bar.set_label("speed |u|", size=8)
    bar.ax.tick_params(labelsize=7.5, length=2)
    bar.outline.set_visible(False)
    reading = (
        "Colour: speed, on one logarithmic scale; arrows: direction; the cross: the data point x₁. At the right the way "
        "of 64 noise samples (grey) to x₁, with dots at equal times. A field that keeps its direction leads along straight "
        f"lines; the last field shown is that of t = {end:g}. Methods of one path share a row."
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


def _arrows(mosaic: Mosaic, i: int, j: int, exhibit: Exhibit, speed: "Array") -> None:
    """Unit arrows at every other point of the grid."""
    import numpy as np

    field = exhibit.arrays[FIELDS][j].astype(float)
    (x, y), n = mosaic.corner(i, j), len(field)
    at = slice(1, None, 2)
    places = (np.arange(n)[at]) / (n - 1)
    u = field / np.maximum(speed, 1e-9)[..., None]
    mosaic.axes.quiver(
        *np.meshgrid(x + places, y + places), u[at, at, 0], u[at, at, 1],
        pivot="mid", angles="xy", scale_units="xy", scale=13, width=0.006, units="xy", headwidth=4.5, headlength=4.5,
        headaxislength=4, color="white", alpha=0.85,
    )  # fmt: skip
    extent = float(exhibit.arrays["extent"])
    target = mosaic.inside(i, j, exhibit.arrays["conditional_target"], extent)
    mosaic.axes.plot(*target, "x", color="#ff8c69", markersize=6, markeredgewidth=1.8)


def _trajectories(mosaic: Mosaic, i: int, j: int, group: list[Exhibit]) -> None:
    from matplotlib.collections import LineCollection

    exhibit, look = group[0], group[0].look if len(group) == 1 else Look(INK, "o")
    extent = float(exhibit.arrays["extent"])
    paths = mosaic.inside(i, j, exhibit.arrays[PATHS], extent)
    thin = slice(None, None, max(1, len(paths) // 10))
    mosaic.axes.add_collection(
        LineCollection(list(paths.transpose(1, 0, 2)), colors=look.colour, linewidths=0.6, alpha=0.45), autolim=False
    )
    dots = paths[thin].reshape(-1, 2)
    mosaic.axes.scatter(*dots.T, s=2.2, color=look.colour, linewidths=0, alpha=0.7, rasterized=True)
    mosaic.axes.scatter(*paths[0].T, s=5, color=NOISE, linewidths=0, zorder=3, rasterized=True)
    target = mosaic.inside(i, j, exhibit.arrays["conditional_target"], extent)
    mosaic.axes.plot(*target, "x", color=legible("#ff8c69"), markersize=6, markeredgewidth=1.8, zorder=4)


def _said(groups: list[list[Exhibit]]) -> str:
    detours = [detour(group[0].arrays[PATHS]) for group in groups]
    if len(groups) == 1:
        return f"One path to one data point: {detours[0]:.2f} times the straight way"
    short, long = detours.index(min(detours)), detours.index(max(detours))
    near, far = groups[short][0].label, groups[long][0].label
    return fitting(
        f"To one data point {near} goes {detours[short]:.2f} times the straight way, {far} {detours[long]:.2f} times",
        f"To one point {near} goes {detours[short]:.2f} times the straight way, another path {detours[long]:.2f} times",
    )
