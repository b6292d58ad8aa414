"""Image samples: a sheet of each baseline, the way they take from noise, and a few at small numbers of evaluations."""

from typing import TYPE_CHECKING, Any

from bench.report.artefacts import Artefacts, absent
from bench.report.plots.canvas import ONE_DRAWN, WIDTH, Drawing, arrange, blank, name_panel, sheet
from bench.report.plots.few import beside_adaptive, few_evaluations, few_lost, few_said
from bench.report.plots.mosaic import Mosaic
from bench.report.scores import distance_metric, led, scores
from bench.report.sections import Section
from bench.report.style import MUTED

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from pandas import DataFrame

    Array = np.ndarray[Any, Any]

SHOWN = {"Held-out data": "data", "What is given": "given"}  # beside the samples, where it was kept
LOOK: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 255, "interpolation": "nearest"}
PAPER = 200  # a grey between images, beside which both black and white ones have an edge


def samples(section: Section, cells: "DataFrame", artefacts: Artefacts) -> Drawing | None:
    """One sheet of 64 samples a baseline, beside held-out images where they were kept."""
    exhibits = artefacts.exhibits(section, "samples", {"samples": 4})
    if not exhibits:
        return None
    metric = distance_metric(section)
    quality = scores(section, cells, metric) if metric else None
    kept = [(name, artefacts.exhibits(section, "samples", {key: 4}), key) for name, key in SHOWN.items()]
    data = [(name, found[0].arrays[key]) for name, found, key in kept if found]
    panels = len(exhibits) + len(data)
    rows, columns = arrange(panels, 4)
    side = min(2.9, (WIDTH - 0.2 - (columns - 1) * 0.14) / columns)
    figure, grid = sheet(rows, columns, (side, side), (0.14, 0.52), bottom=0.3)
    axes = [one for line in grid for one in line]
    blank(axes[panels:])
    for one, pictures in zip(axes, [*(p for _, p in data), *(e.arrays["samples"] for e in exhibits)], strict=False):
        _show(one, pictures)
    for one, (name, _) in zip(axes, data, strict=False):
        name_panel(one, name, None)
    for one, exhibit in zip(axes[len(data) :], exhibits, strict=False):
        name_panel(one, exhibit.label, exhibit.look, quality.text(exhibit.variant) if quality else "")
    title = quality.about.title if quality else ""
    statement = led(
        quality,
        "Samples of each method from the same noise",
        lambda name, number: f"{name} draws the samples closest to the data: {title} {number}",
    )
    reading = (
        "The first samples of one seed, not chosen. The noise is the same in every panel, so images at one place can "
        "be compared."
    )
    reading += absent(section, exhibits, "samples")
    return Drawing(f"{section.stem}_samples", figure, statement, reading, ONE_DRAWN)


def snapshots(section: Section, cells: "DataFrame", artefacts: Artefacts) -> Drawing | None:
    """One panel a baseline: a line of states from noise to image for each of a few samples."""
    import numpy as np

    exhibits = artefacts.exhibits(section, "samples", {"snapshots": 5, "snapshot_times": 1})
    if not exhibits:
        return None
    energy = scores(section, cells, "path_energy")
    rows, columns = arrange(len(exhibits), 4)
    moments = len(exhibits[0].arrays["snapshot_times"])
    side = min(2.9, (WIDTH - 0.2 - (columns - 1) * 0.2) / columns)
    figure, grid = sheet(rows, columns, (side, side), (0.2, 0.52), bottom=0.3)
    axes = [one for line in grid for one in line]
    blank(axes[len(exhibits) :])
    for one, exhibit in zip(axes, exhibits, strict=False):
        states = exhibit.arrays["snapshots"][:, :moments]  # as many samples as moments make a square
        _show(one, np.concatenate(list(states.swapaxes(0, 1))), across=len(states))
        name_panel(one, exhibit.label, exhibit.look, energy.text(exhibit.variant) if energy else "")
        first, last = (float(exhibit.arrays["snapshot_times"][k]) for k in (0, -1))
        one.text(0, -0.03, f"t = {first:.2g} to {last:.2g}", transform=one.transAxes, va="top", size=8, color=MUTED)
    statement = led(
        energy,
        "The way of samples from noise to image",
        lambda name, number: f"{name} carries noise to images with the least path energy, {number}",
    )
    reading = (
        "One sample a line, from noise at the left to image at the right at equal times; the noise is the same in "
        "every panel. The earlier an image can be seen, the fewer evaluations are spent on noise."
    )
    reading += absent(section, exhibits, "samples")
    return Drawing(f"{section.stem}_snapshots", figure, statement, reading, ONE_DRAWN)


def low_nfe(section: Section, cells: "DataFrame", artefacts: Artefacts) -> Drawing | None:
    """Samples of the midpoint rule at rising NFE beside those of the adaptive solver, from the same noise."""
    budgets = few_evaluations(section, artefacts, 4)
    if not budgets:
        return None
    exhibits, moments, sheets = beside_adaptive(section, artefacts, budgets, 4)
    mosaic = Mosaic([(e.label, e.look) for e in exhibits], moments, gap=0.1, framed=False)
    for i, row in enumerate(sheets):
        for j, pictures in enumerate(row):
            if pictures is None:
                mosaic.strike(i, j)
            else:
                mosaic.picture(i, j, _sheet(pictures), **LOOK)
    statement, reading = few_said(section, budgets)
    reading += few_lost(sheets)
    return Drawing(f"{section.stem}_low_nfe", mosaic.figure, statement, reading, "midpoint rule, one seed drawn")


def _show(axes: "Axes", pictures: "Array", across: int = 0) -> None:
    axes.imshow(_sheet(pictures, across), **LOOK)
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _sheet(pictures: "Array", across: int = 0) -> "Array":
    """Images (N, H, W, C), `across` on a line or as square as N allows, on grey: (rows, columns[, 3])."""
    import numpy as np

    n, height, width, channels = pictures.shape
    across = across or int(np.ceil(np.sqrt(n)))
    down = -(-n // across)
    gap = max(1, height // 16)
    paper = np.full((down * (height + gap) - gap, across * (width + gap) - gap, channels), PAPER, np.uint8)
    for i, picture in enumerate(pictures):
        y, x = divmod(i, across)
        paper[y * (height + gap) :, x * (width + gap) :][:height, :width] = picture
    return paper[..., 0] if channels == 1 else paper[..., :3]
