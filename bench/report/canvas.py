"""Figures of one make: a title on top, below it what was measured, then panels laid out in inches."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from bench.report.style import FAINT, INK, MUTED, Look

WIDTH = 10.0  # inches; all figures share it, so that text has one size on the page
TOP = 0.72
LEGEND = 2.3  # inches at the right
DPI = 150
LOOK = Path(__file__).parent / "templates" / "figures.mplstyle"
FONTS = ["Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans"]
LONGEST = 92  # characters of a title in full size
LETTER = 0.08 / 9  # inches that a bold letter takes per point of its size
ASIDE = 0.2  # inches around labels at the left
ONE_DRAWN = "one seed drawn, means over seeds quoted"


def themed() -> AbstractContextManager[None]:
    """Within, figures are drawn in one look: templates/figures.mplstyle, in those of FONTS that are installed."""
    installed = {font.name for font in fontManager.ttflist}
    return rc_context({"font.family": [font for font in FONTS if font in installed]}, LOOK)


def sheet(
    rows: int,
    columns: int,
    size: tuple[float, float],
    gap: tuple[float, float] = (0.12, 0.42),
    left: float = 0.1,
    right: float = 0.1,
    bottom: float = 0.15,
    head: float = 0.26,
) -> tuple[Figure, list[list[Axes]]]:
    """A figure of WIDTH inches with rows x columns axes of `size`, `head` above them for titles; all in inches."""
    height = TOP + head + rows * size[1] + (rows - 1) * gap[1] + bottom
    figure = Figure(figsize=(WIDTH, height))

    def panel(i: int, j: int) -> Axes:
        x, y = left + j * (size[0] + gap[0]), height - TOP - head - (i + 1) * size[1] - i * gap[1]
        return figure.add_axes((x / WIDTH, y / height, size[0] / WIDTH, size[1] / height))

    return figure, [[panel(i, j) for j in range(columns)] for i in range(rows)]


def squares(
    number: int, side: float = 2.9, gap: float = 0.14, left: float = 0.1, right: float = 0.1, most: int = 4
) -> tuple[Figure, list[Axes]]:
    """So many square panels of up to `side` inches, up to `most` in a row, and as few empty places as can be."""
    rows = -(-number // most)
    columns = -(-number // rows)
    side = min(side, (WIDTH - left - right - (columns - 1) * gap) / columns)
    figure, grid = sheet(rows, columns, (side, side), (gap, 0.52), left, right, 0.3)
    return figure, _first(number, grid)


def panels(number: int, height: float, most: int, widest: float = WIDTH) -> tuple[Figure, list[Axes]]:
    """So many panels with labels at both axes, up to `most` in a row and `widest` inches, beside a legend."""
    left, gap, below = 0.75, 0.75, 0.6
    columns = min(number, most)
    width = min(widest, (WIDTH - left - LEGEND - gap * (columns - 1)) / columns)
    figure, grid = sheet(-(-number // columns), columns, (width, height), (gap, below), left, LEGEND, below)
    return figure, _first(number, grid)


def _first(number: int, grid: list[list[Axes]]) -> list[Axes]:
    """So many axes of a grid, whose others are removed."""
    axes = [one for line in grid for one in line]
    for one in axes[number:]:
        one.remove()
    return axes[:number]


def matrix(
    names: Sequence[tuple[str, Look | None]], moments: Sequence[str], gap: float = 0.07, right: float = 0.1
) -> tuple[Figure, list[list[Axes]]]:
    """A small square panel per name and moment, axes[name][moment]; the more numerous of the two go across the page."""
    plain: list[tuple[str, Look | None]] = [(moment, None) for moment in moments]
    across = len(names) > len(moments)
    above, aside = (names, plain) if across else (plain, names)
    left = 0.85 if across else 1.35
    side = min(1.75, (WIDTH - left - right - (len(above) - 1) * gap) / len(above))
    figure, axes = sheet(len(aside), len(above), (side, side), (gap, gap), left, right, 0.12)
    for one, (name, look) in zip(axes[0], above, strict=True):
        size = min(9.0, 0.97 * (side + gap) / (LETTER * len(name)))
        one.set_title(name, loc="center", size=size, pad=0.06 * 72, **_ink(look))
    for line, (name, look) in zip(axes, aside, strict=True):
        words = name.replace(", ", ",\n").replace(" and ", "\nand ")
        style: dict[str, Any] = {"transform": line[0].transAxes, "linespacing": 1.25, **_ink(look)}
        line[0].text((0.1 - left) / side, 0.5, words, va="center", size=9, **style)
    return figure, [list(column) for column in zip(*axes, strict=True)] if across else axes


def _ink(look: Look | None) -> dict[str, Any]:
    return {"color": legible(look.colour), "weight": "bold"} if look else {"color": MUTED, "weight": "normal"}


def room(labels: Iterable[str], least: float, most: float, size: float = 9.0) -> tuple[float, float]:
    """The inches that bold labels take at the left of axes, and their size, smaller where they would take more."""
    longest = max(map(len, labels), default=1)
    size = min(size, (most - ASIDE) / (LETTER * longest))
    return max(least, LETTER * size * longest + ASIDE), size


def entitle(figure: Figure, title: str, caption: str) -> None:
    """Write the title and, below it in grey, the protocol and what else the figure holds for."""
    height = figure.get_figheight()
    x = 0.1 / WIDTH
    size = 12.5 * min(1.0, LONGEST / len(title))
    figure.text(x, 1 - 0.14 / height, title, va="top", size=size, weight="bold", color=INK)
    figure.text(x, 1 - 0.42 / height, caption, va="top", size=9, color=MUTED)


def plane(axes: Axes, extent: float) -> None:
    """Make axes a bare square of the plane, [-extent, extent]^2."""
    axes.set(xlim=(-extent, extent), ylim=(-extent, extent), xticks=[], yticks=[], aspect="equal")
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set(visible=True, color=FAINT, linewidth=0.7)


def strike(axes: Axes) -> None:
    """A cross in the middle of a panel that could not be had."""
    axes.plot([0.5], [0.5], "x", color=MUTED, markersize=14, markeredgewidth=2, transform=axes.transAxes)


def dots(axes: Axes, points: np.ndarray, size: float, colour: str, **style: Any) -> None:
    axes.scatter(points[:, 0], points[:, 1], s=size, color=colour, linewidths=0, **style)


def name_panel(axes: Axes, label: str, look: Look | None, note: str = "") -> None:
    """A panel's name in its baseline's ink, and a number at the right."""
    axes.set_title(label, loc="left", size=9.5, weight="bold", color=legible(look.colour) if look else INK, pad=4)
    if note:
        axes.text(1, -0.03, note, transform=axes.transAxes, ha="right", va="top", size=8, color=MUTED)


def colour_bar(image: Any, beside: Axes, gap: float, label: str, top: Axes | None = None, **options: Any) -> None:
    """The scale of an image, `gap` inches at the right of a panel, as high as it and those up to `top`."""
    figure, box = beside.figure, beside.get_position()
    height = (top or beside).get_position().y1 - box.y0
    bar = figure.colorbar(image, cax=figure.add_axes((box.x1 + gap / WIDTH, box.y0, 0.1 / WIDTH, height)), **options)
    bar.set_label(label, size=8)
    bar.ax.tick_params(labelsize=7.5, length=2)
    bar.outline.set_visible(False)


def legible(colour: str) -> str:
    """A colour dark enough for text on white: mixed with ink until its relative luminance is at most 0.3."""
    rgb, ink = to_rgb(colour), to_rgb(INK)
    for share in (0.0, 0.15, 0.3, 0.45, 0.6):
        r, g, b = ((1 - share) * a + share * b for a, b in zip(rgb, ink, strict=True))
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (r, g, b)]
        if 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] <= 0.3:
            break
    return to_hex((r, g, b))
