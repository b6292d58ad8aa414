"""Image samples: a sheet of each baseline, and a few at small numbers of evaluations."""

from typing import TYPE_CHECKING, Any

from bench.report.artefacts import Artefacts
from bench.report.plots.canvas import ONE_DRAWN, WIDTH, Drawing, arrange, blank, matrix, name_panel, sheet
from bench.report.plots.points import few_evaluations, few_said
from bench.report.scores import distance_metric, scores
from bench.report.sections import Section

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from pandas import DataFrame

    Array = np.ndarray[Any, Any]

SHOWN = {"Held-out data": "data", "What is given": "given"}  # beside the samples, where it was kept
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
    statement = "Samples of each method from the same noise"
    if quality and quality.leader:
        name, number = section.labels[quality.leader], quality.number(quality.leader)
        statement = f"{name} draws the samples closest to the data: {quality.about.title} {number}"
    reading = (
        "The first samples of one seed, not chosen. The noise is the same in every panel, so images at one place can "
        "be compared."
    )
    return Drawing(f"{section.stem}_samples", figure, statement, reading, ONE_DRAWN)


def low_nfe(section: Section, cells: "DataFrame", artefacts: Artefacts) -> Drawing | None:
    """Samples of the midpoint rule at few evaluations beside those of the adaptive solver."""
    budgets = few_evaluations(section, artefacts, 4)
    if not budgets:
        return None
    exhibits = artefacts.exhibits(section, "sweep", dict.fromkeys(budgets.values(), 4))
    full = {e.variant: e.arrays["samples"] for e in artefacts.exhibits(section, "samples", {"samples": 4})}
    moments = [f"midpoint, NFE {nfe}" for nfe in budgets]
    sheets = [[exhibit.arrays[name] for name in budgets.values()] for exhibit in exhibits]
    if all(exhibit.variant in full for exhibit in exhibits):
        moments.append("adaptive")
        sheets = [[*row, full[exhibit.variant][:16]] for row, exhibit in zip(sheets, exhibits, strict=True)]
    figure = matrix(exhibits, moments, lambda axes, i, j: _show(axes, sheets[i][j]), gap=0.18)
    statement, reading = few_said(section, budgets)
    return Drawing(f"{section.stem}_low_nfe", figure, statement, reading, "one seed drawn")


def _show(axes: "Axes", pictures: "Array") -> None:
    axes.imshow(_sheet(pictures), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _sheet(pictures: "Array") -> "Array":
    """Images (N, H, W, C) side by side on grey, as square an arrangement as N allows: (rows, columns[, 3])."""
    import numpy as np

    n, height, width, channels = pictures.shape
    across = int(np.ceil(np.sqrt(n)))
    down = -(-n // across)
    gap = max(1, height // 16)
    paper = np.full((down * (height + gap) - gap, across * (width + gap) - gap, channels), PAPER, np.uint8)
    for i, picture in enumerate(pictures):
        y, x = divmod(i, across)
        paper[y * (height + gap) :, x * (width + gap) :][:height, :width] = picture
    return paper[..., 0] if channels == 1 else paper[..., :3]
