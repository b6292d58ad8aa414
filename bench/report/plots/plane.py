"""Figures of the plane that two-dimensional data lie in: what each model has learnt, and the way of its samples."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from bench.report.artefacts import Exhibit, absent
from bench.report.canvas import ONE_DRAWN, colour_bar, dots, legible, matrix, name_panel, plane, squares, strike
from bench.report.figure import Drawing, FigureData, register_figure
from bench.report.style import NOISE

STRUCK = " A cross stands where a density could not be had."


@register_figure("densities", title="The density that each model has learnt", arrays={"log_densities": 3}, place=90)
def densities(data: FigureData) -> Drawing | None:
    """One heat map of the model's density a baseline, on one scale, beside held-out data."""
    maps = [_densities(exhibit)[-1] for exhibit in data.exhibits]
    if all(map(_is_lost, maps)):
        return None
    held_out = next((e.arrays["data"].astype(float) for e in data.kept({"data": 2})), None)
    figure, axes = _planes(
        data, data.section.metric("nll") or "", ("Held-out data",) * (held_out is not None), right=0.62
    )
    shown = axes[-len(maps) :]
    for one, exhibit, density in zip(shown, data.exhibits, maps, strict=True):
        image = _heat(one, density, exhibit.extent, _top(maps), "bilinear")
    if held_out is not None:
        axes[0].set_facecolor(image.cmap(0.0))
        dots(axes[0], held_out, 1.6, image.cmap(0.95), alpha=0.8, rasterized=True)
    colour_bar(image, shown[-1], 0.12, "density per unit area")
    reading = (
        "exp(log p(x)) from the instantaneous change of variables, the same colour scale in every panel. Density "
        "between the data's regions is probability that the model wastes."
    )
    reading += STRUCK * any(map(_is_lost, maps)) + absent(data.section, data.exhibits, "likelihood")
    return Drawing(figure, reading=reading, note=ONE_DRAWN)


@register_figure(
    "density_flow",
    title="The density that each model makes of the noise, along t",
    arrays={"log_densities": 3, "density_times": 1},
    place=100,
)
def density_flow(data: FigureData) -> Drawing | None:
    """Rows of baselines, columns of time; a model with a density of its own has it at the end alone, and no row."""
    flows = [e for e in data.exhibits if len(e.arrays["density_times"]) > 1]
    if not flows:
        return None
    times = flows[0].arrays["density_times"].astype(float)
    exhibits = [e for e in flows if np.allclose(e.arrays["density_times"], times, atol=1e-3)]
    maps = np.stack([_densities(exhibit) for exhibit in exhibits])
    figure, axes = matrix([(e.label, e.look) for e in exhibits], [f"t = {time:.2g}" for time in times.round(2)])
    for j in range(len(times)):
        top = _top(maps[:, j])
        for line, exhibit, density in zip(axes, exhibits, maps[:, j], strict=True):
            plane(line[j], exhibit.extent)
            _heat(line[j], density, exhibit.extent, top, "none")
    reading = (
        "exp(log p_t(x)) of each model by the change of variables, colours on one scale a moment. Methods on one "
        "probability path pass through the same densities when they have learnt them well, whatever loss taught them."
    )
    reading += STRUCK * any(_is_lost(density) for of_exhibit in maps for density in of_exhibit)
    reading += absent(data.section, exhibits, "likelihood")
    return Drawing(figure, reading=reading, note="one seed drawn")


@register_figure("trajectories", title="The way of samples from noise to data", arrays={"trajectories": 3}, place=120)
def trajectories(data: FigureData) -> Drawing:
    """One panel a baseline: where 64 samples start, the way they take, where they end."""
    quoted = "straightness" if data.section.scores("straightness") else "path_energy"
    figure, axes = _planes(data, quoted)
    for one, exhibit in zip(axes, data.exhibits, strict=True):
        paths = thinned(exhibit.arrays["trajectories"].astype(float))
        path_lines(one, paths, exhibit.look.colour, linewidths=0.7, alpha=0.55)
        dots(one, paths[-1], 7, legible(exhibit.look.colour), zorder=4)
    reading = (
        "Grey: noise at t = 0. Lines: the way of 64 samples. Dark: where they end at t = 1. The noise is the same in "
        "every panel; straight lines can be followed in few solver steps. Straightness is 0 for straight paths at "
        "constant speed. If a method straightens the paths of another, that one's panel is the way before."
    )
    return Drawing(figure, reading=reading + absent(data.section, data.exhibits, "samples"), note=ONE_DRAWN)


def path_lines(axes: Axes, paths: np.ndarray, colour: str, **style: Any) -> None:
    """Paths (T, n, 2) as lines, where they start in grey."""
    axes.add_collection(LineCollection([*paths.swapaxes(0, 1)], colors=colour, **style), autolim=False)
    dots(axes, paths[0], 5, NOISE, zorder=3)


def thinned(paths: np.ndarray, most: int = 26) -> np.ndarray:
    """Paths (T, n, 2) at no more than `most` of their times, both ends among them: as smooth to the eye."""
    return paths[np.unique(np.linspace(0, len(paths) - 1, most).round().astype(int))]


def _planes(data: FigureData, metric: str, before: Sequence[str] = (), right: float = 0.1) -> tuple[Figure, list[Axes]]:
    """A square panel an exhibit with the metric of its variant, after those named by `before`; ticks beside one."""
    exhibits, ends = data.exhibits, data.ends(metric)
    number = len(before) + len(exhibits)
    figure, axes = squares(number, 2.6, left=0.3, right=right, most=5 if number > 8 else 4)
    extent = max(exhibit.extent for exhibit in exhibits)
    for one in axes:
        plane(one, extent)
    corner = min(axes, key=lambda one: tuple(one.get_position().min))  # all sides and panels share its scale
    tick = max(1, int(extent * 0.9))
    corner.set_yticks([-tick, 0, tick])
    corner.tick_params(labelsize=7.5, length=2, pad=1.5)
    names = [(name, None, "") for name in before] + [(e.label, e.look, ends[e.variant]) for e in exhibits]
    for one, name in zip(axes, names, strict=True):
        name_panel(one, *name)
    return figure, axes


def _densities(exhibit: Exhibit) -> np.ndarray:
    """The densities (T, n, n) that were kept by their logarithms."""
    return np.exp(np.clip(exhibit.arrays["log_densities"].astype(float), -700, 700))


def _is_lost(density: np.ndarray) -> bool:
    return bool(np.isnan(density).all())


def _top(maps: Iterable[np.ndarray]) -> float:
    """The density that a scale for all of them ends at."""
    return float(np.median([np.nanquantile(density, 0.995) for density in maps if not _is_lost(density)] or [1.0]))


def _heat(axes: Axes, density: np.ndarray, extent: float, top: float, interpolation: str) -> Any:
    """A density (n, n) in colours from 0 to `top`, or a cross if it could not be had."""
    if _is_lost(density):
        strike(axes)
    colours = seaborn.color_palette("mako", as_cmap=True)
    scale: dict[str, Any] = {"origin": "lower", "extent": (-extent, extent, -extent, extent), "vmin": 0, "vmax": top}
    return axes.imshow(density, cmap=colours, interpolation=interpolation, **scale)
