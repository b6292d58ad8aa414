"""Figures of image samples: those of each method, and their way from noise."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from bench.report.artefacts import absent
from bench.report.canvas import ONE_DRAWN, name_panel, squares
from bench.report.extract import listed
from bench.report.figure import Drawing, FigureData, register_figure
from bench.report.style import MUTED

BESIDE = {"Held-out data": "data", "What is given": "given"}
PAPER = 200  # a grey between images, beside which both black and white ones have an edge


@register_figure("samples", title="Samples of each method from the same noise", arrays={"samples": 4}, place=124)
def samples(data: FigureData) -> Drawing:
    """64 samples a baseline, beside held-out images and what was given if they were kept."""
    ends = data.ends(data.section.metric("quality"))
    kept = {name: data.kept({key: 4}) for name, key in BESIDE.items()}
    panels: list[Any] = [(name, None, "", found[0].arrays[BESIDE[name]]) for name, found in kept.items() if found]
    panels += [(e.label, e.look, ends[e.variant], e.arrays["samples"]) for e in data.exhibits]
    figure, axes = squares(len(panels))
    for one, (name, look, note, pictures) in zip(axes, panels, strict=True):
        show(one, pictures)
        name_panel(one, name, look, note)
    reading = (
        "The first samples of one seed, not chosen. The noise is the same in every panel, so images at one place can "
        "be compared."
    )
    if foreign := [exhibit.label for exhibit in data.exhibits if exhibit.variant in data.section.elsewhere]:
        reading += f" Not those of {listed(foreign)}, which were made elsewhere."
    return Drawing(figure, reading=reading + absent(data.section, data.exhibits, "samples"), note=ONE_DRAWN)


@register_figure(
    "snapshots", title="The way of samples from noise to image", arrays={"snapshots": 5, "snapshot_times": 1}, place=127
)
def snapshots(data: FigureData) -> Drawing:
    """One panel a baseline: a line of states from noise to image for each of a few samples."""
    exhibits, ends = data.exhibits, data.ends("path_energy")
    moments = len(exhibits[0].arrays["snapshot_times"])
    figure, axes = squares(len(exhibits), gap=0.2)
    for one, exhibit in zip(axes, exhibits, strict=True):
        states = exhibit.arrays["snapshots"][:, :moments]  # as many samples as moments make a square
        show(one, np.concatenate(list(states.swapaxes(0, 1))), across=len(states))
        name_panel(one, exhibit.label, exhibit.look, ends[exhibit.variant])
        first, last = exhibit.arrays["snapshot_times"][[0, -1]]
        one.text(0, -0.03, f"t = {first:.2g} to {last:.2g}", transform=one.transAxes, va="top", size=8, color=MUTED)
    reading = (
        "One sample a line, from noise at the left to image at the right at equal times; the noise is the same in "
        "every panel. The earlier an image can be seen, the fewer evaluations are spent on noise."
    )
    return Drawing(figure, reading=reading + absent(data.section, exhibits, "samples"), note=ONE_DRAWN)


def show(axes: Axes, pictures: np.ndarray, across: int = 0) -> None:
    axes.imshow(tiled(pictures, across), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_axis_off()


def tiled(pictures: np.ndarray, across: int = 0) -> np.ndarray:
    """Images (N, H, W, C), `across` on a line or as square as N allows, on grey: (rows, columns[, 3])."""
    n, height, width, channels = pictures.shape
    across = across or int(np.ceil(np.sqrt(n)))
    down = -(-n // across)
    gap = max(1, height // 16)
    paper = np.full((down * (height + gap) - gap, across * (width + gap) - gap, channels), PAPER, np.uint8)
    for i, picture in enumerate(pictures):
        y, x = divmod(i, across)
        paper[y * (height + gap) :, x * (width + gap) :][:height, :width] = picture
    return paper[..., 0] if channels == 1 else paper[..., :3]
