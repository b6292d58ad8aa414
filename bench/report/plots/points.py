"""What the flows of two-dimensional data look like: paths, densities, snapshots, and samples at few evaluations."""

from typing import TYPE_CHECKING, Any

from bench.report import vocabulary
from bench.report.artefacts import Artefacts, Exhibit
from bench.report.plots.canvas import (
    ONE_DRAWN,
    WIDTH,
    Drawing,
    arrange,
    blank,
    legible,
    matrix,
    name_panel,
    plane,
    ruler,
    sheet,
)
from bench.report.scores import Scores, distance_metric, scores
from bench.report.sections import Section
from bench.report.style import NOISE

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from pandas import DataFrame

LEFT, RIGHT, GAP = 0.3, 0.1, 0.14


def trajectories(section: Section, cells: "DataFrame", artefacts: Artefacts) -> Drawing | None:
    """One panel a baseline: where 64 samples start, the way they take, where they end."""
    from matplotlib.collections import LineCollection

    exhibits = artefacts.exhibits(section, "samples", {"trajectories": 3})
    if not exhibits:
        return None
    energy = scores(section, cells, "path_energy")
    figure, axes = _panels(exhibits, [_with(energy, e) for e in exhibits])
    for one, exhibit in zip(axes, exhibits, strict=True):
        paths = exhibit.arrays["trajectories"].astype(float)
        colour = exhibit.look.colour
        one.add_collection(LineCollection(list(paths.transpose(1, 0, 2)), colors=colour, linewidths=0.7, alpha=0.55))
        one.scatter(paths[0, :, 0], paths[0, :, 1], s=5, color=NOISE, linewidths=0, zorder=3)
        one.scatter(paths[-1, :, 0], paths[-1, :, 1], s=7, color=legible(colour), linewidths=0, zorder=4)
    statement = "The way of samples from noise to data"
    if energy and energy.leader:
        name, number = section.labels[energy.leader], energy.number(energy.leader)
        statement = f"{name} carries noise to data with the least path energy, {number}"
    reading = (
        "Grey: noise at t = 0. Lines: the way of 64 samples. Dark: where they end at t = 1. The noise is the same in "
        "every panel; straight lines can be followed in few solver steps."
    )
    return Drawing(f"{section.stem}_trajectories", figure, statement, reading, ONE_DRAWN)


def densities(section: Section, cells: "DataFrame", artefacts: Artefacts) -> Drawing | None:
    """One heat map of the model's exact density a baseline, on one scale, beside held-out data."""
    import numpy as np
    import seaborn

    exhibits = artefacts.exhibits(section, "likelihood", {"log_density": 2})
    if not exhibits:
        return None
    data = _data(section, artefacts)
    nll = scores(section, cells, "nll_nats")
    colours = seaborn.color_palette("mako", as_cmap=True)
    maps = [np.exp(exhibit.arrays["log_density"].astype(float)) for exhibit in exhibits]
    top = float(np.median([np.nanquantile(density, 0.995) for density in maps]))
    figure, axes = _panels(exhibits, [_with(nll, e) for e in exhibits], data is not None, colour_bar=True)
    shown = axes[-len(exhibits) :]
    for one, exhibit, density in zip(shown, exhibits, maps, strict=True):
        extent = _extent(exhibit)
        square = (-extent, extent, -extent, extent)
        image = one.imshow(
            density, origin="lower", extent=square, cmap=colours, vmin=0, vmax=top, interpolation="bilinear"
        )
    if data is not None:
        axes[0].set_facecolor(colours(0.0))
        axes[0].scatter(data[:, 0], data[:, 1], s=1.6, color=colours(0.95), linewidths=0, alpha=0.8, rasterized=True)
    place = shown[-1].get_position()
    bar = figure.colorbar(image, cax=figure.add_axes((place.x1 + 0.12 / WIDTH, place.y0, 0.1 / WIDTH, place.height)))
    bar.set_label("density per unit area", size=8)
    bar.ax.tick_params(labelsize=7.5, length=2)
    bar.outline.set_visible(False)
    statement = "The density that each flow has learnt"
    if nll and nll.leader:
        name, number = section.labels[nll.leader], nll.number(nll.leader)
        statement = f"{name} assigns held-out data the highest density: NLL {number}"
        if nll.floor is not None:
            statement += f", {nll.values[nll.leader].mean - nll.floor:.2f} above the floor"
    reading = (
        "exp(log p(x)) from the instantaneous change of variables, the same colour scale in every panel. Density "
        "between the data's regions is probability that the model wastes."
    )
    return Drawing(f"{section.stem}_densities", figure, statement, reading, ONE_DRAWN)


def snapshots(section: Section, cells: "DataFrame", artefacts: Artefacts) -> Drawing | None:
    """Rows of baselines, columns of time: the samples on their way."""
    exhibits = artefacts.exhibits(section, "samples", {"snapshots": 3, "snapshot_times": 1})
    if not exhibits:
        return None
    times = exhibits[0].arrays["snapshot_times"].astype(float)
    exhibits = [e for e in exhibits if len(e.arrays["snapshots"]) == len(times)]
    columns = [f"t = {time:.2g}" for time in times.round(2)]
    clouds = [list(exhibit.arrays["snapshots"]) for exhibit in exhibits]
    statement = "The same noise becomes data in its own way under each method"
    reading = (
        "One method a line, from noise at t = 0 to data at t = 1. Methods on one probability path pass through the "
        "same distributions when they have learnt them well, whatever loss taught them."
    )
    return _matrix(section, f"{section.stem}_snapshots", exhibits, columns, clouds, statement, reading)


def low_nfe(section: Section, cells: "DataFrame", artefacts: Artefacts) -> Drawing | None:
    """Rows of baselines, columns of midpoint's NFE, and the adaptive solution beside them."""
    budgets = few_evaluations(section, artefacts, 2)
    if not budgets:
        return None
    exhibits = artefacts.exhibits(section, "sweep", {name: 2 for name in budgets.values()})
    full = {e.variant: e.arrays["samples"] for e in artefacts.exhibits(section, "samples", {"samples": 2})}
    columns = [f"midpoint, NFE {nfe}" for nfe in budgets]
    clouds: list[list[Any]] = [[exhibit.arrays[name] for name in budgets.values()] for exhibit in exhibits]
    if all(exhibit.variant in full for exhibit in exhibits):
        columns.append("adaptive")
        clouds = [[*row, full[exhibit.variant][: len(row[0])]] for row, exhibit in zip(clouds, exhibits, strict=True)]
    statement, reading = few_said(section, budgets)
    return _matrix(section, f"{section.stem}_low_nfe", exhibits, columns, clouds, statement, reading)


def few_evaluations(section: Section, artefacts: Artefacts, axes: int) -> dict[int, str]:
    """NFE -> name of the array, for the midpoint samples that some variant has kept."""
    found: dict[int, str] = {}
    for nfe in (4, 8, 10, 20):
        name = f"samples_midpoint_{nfe}"
        if artefacts.exhibits(section, "sweep", {name: axes}):
            found[nfe] = name
    return found


def few_said(section: Section, budgets: dict[int, str]) -> tuple[str, str]:
    """Statement and reading of the low-NFE figures: who is best at the smallest measured budget."""
    reading = (
        "Samples from a fixed number of evaluations of the velocity field (two a midpoint step), the adaptive "
        "solver's last. A method whose first panel already looks like its last is cheap to sample."
    )
    metric = distance_metric(section)
    for nfe in budgets:
        at = section.sweep[
            (section.sweep.metric == metric) & (section.sweep.solver == "midpoint") & (section.sweep.nfe == nfe)
        ]
        means = at.groupby("variant").value.mean()
        if len(means) > 1:
            best = str(means.idxmin())
            value = f"{vocabulary.metric(str(metric)).title} {means.min():.3g}"
            name = section.labels[best]
            return f"With {nfe} evaluations of the midpoint rule {name} is closest to the data: {value}", reading
    return "Samples at few evaluations", reading


def _panels(
    exhibits: list[Exhibit], notes: list[str], with_data: bool = False, colour_bar: bool = False
) -> "tuple[Any, list[Axes]]":
    """A square panel an exhibit, the data's first where it is shown."""
    panels = len(exhibits) + with_data
    rows, columns = arrange(panels, 5 if panels > 8 else 4)
    right = 0.62 if colour_bar else RIGHT
    side = min(2.6, (WIDTH - LEFT - right - (columns - 1) * GAP) / columns)
    figure, grid = sheet(rows, columns, (side, side), (GAP, 0.52), LEFT, right, 0.3)
    axes = [one for line in grid for one in line]
    blank(axes[panels:])
    extent = max(_extent(exhibit) for exhibit in exhibits)
    for one in axes[:panels]:
        plane(one, extent)
    ruler(grid[-1][0], extent)
    if with_data:
        name_panel(axes[0], "Held-out data", None)
    for one, exhibit, note in zip(axes[with_data:panels], exhibits, notes, strict=True):
        name_panel(one, exhibit.label, exhibit.look, note)
    return figure, axes[:panels]


def _matrix(
    section: Section,
    name: str,
    exhibits: list[Exhibit],
    moments: list[str],
    clouds: "list[list[np.ndarray[Any, Any]]]",
    statement: str,
    reading: str,
) -> Drawing:
    """Point clouds, `clouds[i][j]` of exhibit i at moment j."""

    def cloud(axes: "Axes", i: int, j: int) -> None:
        plane(axes, _extent(exhibits[i]))
        points, colour = clouds[i][j].astype(float), exhibits[i].look.colour
        size = min(8.0, 1.5 * (2000 / len(points)) ** 0.6)
        axes.scatter(points[:, 0], points[:, 1], s=size, color=colour, linewidths=0, alpha=0.75, rasterized=True)

    figure = matrix(exhibits, moments, cloud)
    return Drawing(name, figure, statement, reading, "one seed drawn")


def _extent(exhibit: Exhibit) -> float:
    import numpy as np

    if "extent" in exhibit.arrays and float(exhibit.arrays["extent"]) > 0:
        return float(exhibit.arrays["extent"])
    points = next(array for array in exhibit.arrays.values() if array.ndim >= 2)
    return float(np.nanquantile(abs(points.astype(float)), 0.99)) or 1.0


def _data(section: Section, artefacts: Artefacts) -> "np.ndarray[Any, Any] | None":
    for exhibit in artefacts.exhibits(section, "samples", {"data": 2}):
        return exhibit.arrays["data"].astype(float)
    return None


def _with(values: Scores | None, exhibit: Exhibit) -> str:
    return values.text(exhibit.variant) if values else ""
