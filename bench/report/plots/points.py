"""What the flows of two-dimensional data look like: their paths, and densities along the way."""

from typing import TYPE_CHECKING, Any

from bench.report.artefacts import Artefacts, Exhibit, absent
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
from bench.report.scores import Scores, led, scores
from bench.report.sections import Section
from bench.report.style import MUTED, NOISE

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
    reading += absent(section, exhibits, "samples")
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
    maps = [_density(exhibit)[-1] for exhibit in exhibits]
    tops = [np.nanquantile(density, 0.995) for density in maps if not _is_lost(density)]
    if not tops:
        return None
    top = float(np.median(tops))
    figure, axes = _panels(exhibits, [_with(nll, e) for e in exhibits], data is not None, colour_bar=True)
    shown = axes[-len(exhibits) :]
    for one, exhibit, density in zip(shown, exhibits, maps, strict=True):
        extent = extent_of(exhibit)
        square = (-extent, extent, -extent, extent)
        image = one.imshow(
            density, origin="lower", extent=square, cmap=colours, vmin=0, vmax=top, interpolation="bilinear"
        )
        if _is_lost(density):
            one.plot([0], [0], "x", color=MUTED, markersize=18, markeredgewidth=2.5)
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
    reading += _struck(any(map(_is_lost, maps))) + absent(section, exhibits, "likelihood")
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
    maps = np.stack([_density(exhibit) for exhibit in exhibits])
    quantiles = [[_is_lost(d) or np.nanquantile(d, 0.995) for d in maps[:, j]] for j in range(len(times))]
    tops = [float(np.median([q for q in column if q is not True] or [1.0])) for column in quantiles]
    mosaic = Mosaic([(e.label, e.look) for e in exhibits], [f"t = {time:.2g}" for time in times.round(2)])
    colours = seaborn.color_palette("mako", as_cmap=True)
    for i in range(len(exhibits)):
        for j, top in enumerate(tops):
            if _is_lost(maps[i, j]):
                mosaic.strike(i, j)
                continue
            mosaic.picture(i, j, maps[i, j], origin="lower", cmap=colours, vmin=0, vmax=top, interpolation="none")
    statement = "The density that each flow makes of the noise, along t"
    middle = int(np.argmin(abs(times - 0.6)))
    if len(exhibits) > 1 and middle < len(times) - 1 and np.isfinite(far := _to_go(maps)).all():
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
    lost = any(_is_lost(density) for of_one in maps for density in of_one)
    reading += _struck(lost) + absent(section, exhibits, "likelihood")
    return Drawing(f"{section.stem}_density_flow", mosaic.figure, statement, reading, "one seed drawn")


def _density(exhibit: Exhibit) -> "np.ndarray[Any, Any]":
    """The densities (T, n, n) that were kept by their logarithms."""
    import numpy as np

    return np.exp(np.clip(exhibit.arrays["log_densities"].astype(float), -700, 700))


def _is_lost(density: "np.ndarray[Any, Any]") -> bool:
    """Whether a picture could not be had."""
    import numpy as np

    return bool(np.isnan(density).all())


def _struck(lost: bool) -> str:
    return " A cross stands where a density could not be had." if lost else ""


def _to_go(maps: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Total variation between the densities (methods, T, n, n), normalised on their square, and the last of each."""
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        shares = maps / maps.sum((2, 3), keepdims=True)
    found: np.ndarray[Any, Any] = abs(shares - shares[:, -1:]).sum((2, 3)) / 2
    return found


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
    extent = max(extent_of(exhibit) for exhibit in exhibits)
    for one in axes[:panels]:
        plane(one, extent)
    ruler(grid[-1][0], extent)
    if with_data:
        name_panel(axes[0], "Held-out data", None)
    for one, exhibit, note in zip(axes[with_data:panels], exhibits, notes, strict=True):
        name_panel(one, exhibit.label, exhibit.look, note)
    return figure, axes[:panels]


def extent_of(exhibit: Exhibit) -> float:
    """Half the side of the square that is drawn."""
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
