"""What the flows of two-dimensional data look like: paths, densities along the way, and samples at few evaluations."""

from typing import TYPE_CHECKING, Any

from bench.report import numbers, vocabulary
from bench.report.artefacts import Artefacts, Exhibit
from bench.report.plots.canvas import (
    ONE_DRAWN,
    WIDTH,
    Drawing,
    arrange,
    blank,
    legible,
    name_panel,
    plane,
    ruler,
    sheet,
    thinned,
)
from bench.report.plots.mosaic import Mosaic
from bench.report.scores import Scores, distance_metric, led, scores
from bench.report.sections import Section
from bench.report.style import NOISE

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from pandas import DataFrame

LEFT, RIGHT, GAP = 0.3, 0.1, 0.14
KEPT = "samples_midpoint_"
FEW = 20  # evaluations; a cloud of points looks the same at more


def trajectories(section: Section, cells: "DataFrame", artefacts: Artefacts) -> Drawing | None:
    """One panel a baseline: where 64 samples start, the way they take, where they end."""
    from matplotlib.collections import LineCollection

    exhibits = artefacts.exhibits(section, "samples", {"trajectories": 3})
    if not exhibits:
        return None
    energy = scores(section, cells, "path_energy")
    figure, axes = _panels(exhibits, [_with(energy, e) for e in exhibits])
    for one, exhibit in zip(axes, exhibits, strict=True):
        paths = thinned(exhibit.arrays["trajectories"].astype(float))
        colour = exhibit.look.colour
        one.add_collection(LineCollection(list(paths.transpose(1, 0, 2)), colors=colour, linewidths=0.7, alpha=0.55))
        one.scatter(paths[0, :, 0], paths[0, :, 1], s=5, color=NOISE, linewidths=0, zorder=3)
        one.scatter(paths[-1, :, 0], paths[-1, :, 1], s=7, color=legible(colour), linewidths=0, zorder=4)
    statement = led(
        energy,
        "The way of samples from noise to data",
        lambda name, number: f"{name} carries noise to data with the least path energy, {number}",
    )
    reading = (
        "Grey: noise at t = 0. Lines: the way of 64 samples. Dark: where they end at t = 1. The noise is the same in "
        "every panel; straight lines can be followed in few solver steps."
    )
    return Drawing(f"{section.stem}_trajectories", figure, statement, reading, ONE_DRAWN)


def densities(section: Section, cells: "DataFrame", artefacts: Artefacts) -> Drawing | None:
    """One heat map of the model's exact density a baseline, on one scale, beside held-out data."""
    import numpy as np
    import seaborn

    exhibits = artefacts.exhibits(section, "likelihood", {"log_densities": 3})
    if not exhibits:
        return None
    data = _data(section, artefacts)
    nll = scores(section, cells, "nll_nats")
    colours = seaborn.color_palette("mako", as_cmap=True)
    maps = [np.exp(exhibit.arrays["log_densities"][-1].astype(float)) for exhibit in exhibits]
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


def density_flow(section: Section, cells: "DataFrame", artefacts: Artefacts) -> Drawing | None:
    """Rows of baselines, columns of time: the model's density on its way from noise to data."""
    import numpy as np
    import seaborn

    exhibits = artefacts.exhibits(section, "likelihood", {"log_densities": 3, "density_times": 1})
    if not exhibits:
        return None
    times = exhibits[0].arrays["density_times"].astype(float)
    exhibits = [e for e in exhibits if np.allclose(e.arrays["density_times"], times, atol=1e-3)]
    maps = np.exp([exhibit.arrays["log_densities"].astype(float) for exhibit in exhibits])
    tops = np.median(np.nanquantile(maps, 0.995, axis=(2, 3)), axis=0)
    mosaic = Mosaic([(e.label, e.look) for e in exhibits], [f"t = {time:.2g}" for time in times.round(2)])
    colours = seaborn.color_palette("mako", as_cmap=True)
    for i in range(len(exhibits)):
        for j, top in enumerate(tops):
            mosaic.picture(i, j, maps[i, j], origin="lower", cmap=colours, vmin=0, vmax=top, interpolation="none")
    statement = "The density that each flow makes of the noise, along t"
    far = _to_go(maps)
    middle = int(np.argmin(abs(times - 0.6)))
    if len(exhibits) > 1 and middle < len(times) - 1:
        near, late = int(np.argmin(far[:, middle])), int(np.argmax(far[:, middle]))
        statement = (
            f"At t = {times[middle]:.2g} {exhibits[near].label} is nearest to its own end (total variation "
            f"{far[near, middle]:.2f}; {exhibits[late].label} {far[late, middle]:.2f})"
        )
    reading = (
        "exp(log p_t(x)) of each model by the change of variables, colours on one scale a moment. Total variation is "
        "half the integral of |p_t - p_1| over the square shown. Methods on one probability path pass through the "
        "same densities when they have learnt them well, whatever loss taught them."
    )
    return Drawing(f"{section.stem}_density_flow", mosaic.figure, statement, reading, "one seed drawn")


def _to_go(maps: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Total variation between the densities (methods, T, n, n), normalised on their square, and the last of each."""
    shares = maps / maps.sum((2, 3), keepdims=True)
    found: np.ndarray[Any, Any] = abs(shares - shares[:, -1:]).sum((2, 3)) / 2
    return found


def low_nfe(section: Section, cells: "DataFrame", artefacts: Artefacts) -> Drawing | None:
    """Rows of baselines, columns of midpoint's smallest NFEs, and the adaptive solution beside them."""
    found = few_evaluations(section, artefacts, 2)
    budgets = {nfe: name for nfe, name in found.items() if nfe <= FEW}
    if not budgets:
        return None
    exhibits, moments, clouds = beside_adaptive(section, artefacts, budgets, 2)
    mosaic = Mosaic([(e.label, e.look) for e in exhibits], moments)
    for i, (exhibit, row) in enumerate(zip(exhibits, clouds, strict=True)):
        mosaic.clouds(i, row, _extent(exhibit), exhibit.look.colour)
    statement, reading = few_said(section, budgets)
    return Drawing(f"{section.stem}_low_nfe", mosaic.figure, statement, reading, "midpoint rule, one seed drawn")


def few_evaluations(section: Section, artefacts: Artefacts, axes: int) -> dict[int, str]:
    """NFE -> name of the array, rising, for the midpoint samples that some variant has kept."""
    kept = {name for e in artefacts.exhibits(section, "sweep", {}) for name in e.arrays if name.startswith(KEPT)}
    found = {int(name.removeprefix(KEPT)): name for name in kept}
    return {nfe: name for nfe, name in sorted(found.items()) if artefacts.exhibits(section, "sweep", {name: axes})}


def beside_adaptive(
    section: Section, artefacts: Artefacts, budgets: dict[int, str], axes: int
) -> "tuple[list[Exhibit], list[str], list[list[np.ndarray[Any, Any]]]]":
    """Who has kept samples at all these NFEs; the moments; and the samples of each at every moment, adaptive last."""
    exhibits = artefacts.exhibits(section, "sweep", dict.fromkeys(budgets.values(), axes))
    full = {e.variant: e.arrays["samples"] for e in artefacts.exhibits(section, "samples", {"samples": axes})}
    moments = [f"NFE {nfe}" for nfe in budgets]
    samples = [[exhibit.arrays[name] for name in budgets.values()] for exhibit in exhibits]
    if all(exhibit.variant in full for exhibit in exhibits):
        moments.append("adaptive")
        samples = [[*row, full[exhibit.variant][: len(row[0])]] for row, exhibit in zip(samples, exhibits, strict=True)]
    return exhibits, moments, samples


def few_said(section: Section, budgets: dict[int, str]) -> tuple[str, str]:
    """Statement and reading of the low-NFE figures: who is best at the smallest measured budget."""
    reading = (
        "Samples from the same noise at a fixed number of evaluations of the velocity field (two a midpoint step), the "
        "adaptive solver's last. A method whose first panel already looks like its last is cheap to sample."
    )
    metric = distance_metric(section)
    for nfe in budgets:
        at = section.sweep[
            (section.sweep.metric == metric) & (section.sweep.solver == "midpoint") & (section.sweep.nfe == nfe)
        ]
        means = at.groupby("variant").value.mean()
        if len(means) > 1:
            best = str(means.idxmin())
            value = f"{vocabulary.metric(str(metric)).title} {numbers.plain(float(means.min()), 3)}"
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
