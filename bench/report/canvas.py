"""Figures of one make: a title on top, below it what was measured, then panels laid out in inches."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.report.style import FAINT, INK, MUTED, Look

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 10.0  # inches; all figures share it, so that text has one size on the page
TOP = 0.72
LONGEST = 92  # characters of a title in full size
ONE_DRAWN = "one seed drawn, means over seeds quoted"


def sheet(
    rows: int,
    columns: int,
    size: tuple[float, float],
    gap: tuple[float, float] = (0.12, 0.42),
    left: float = 0.1,
    right: float = 0.1,
    bottom: float = 0.15,
    head: float = 0.26,
    **options: Any,
) -> "tuple[Figure, list[list[Axes]]]":
    """A figure of WIDTH inches with rows x columns axes of `size` (width, height), everything in inches.

    Args:
        gap: space between columns and between rows.
        head: space above the first row for the titles of panels.
        options: of `Figure.add_axes`.
    """
    from matplotlib.figure import Figure

    height = TOP + head + rows * size[1] + (rows - 1) * gap[1] + bottom
    figure = Figure(figsize=(WIDTH, height))
    axes = []
    for i in range(rows):
        y = height - TOP - head - (i + 1) * size[1] - i * gap[1]
        line = []
        for j in range(columns):
            x = left + j * (size[0] + gap[0])
            box = (x / WIDTH, y / height, size[0] / WIDTH, size[1] / height)
            line.append(figure.add_axes(box, **options))
        axes.append(line)
    return figure, axes


def entitle(figure: "Figure", title: str, caption: str) -> None:
    """Write the title and, below it in grey, the protocol and what else the figure holds for."""
    height = figure.get_figheight()
    x = 0.1 / WIDTH
    size = 12.5 * min(1.0, LONGEST / len(title))
    figure.text(x, 1 - 0.14 / height, title, va="top", size=size, weight="bold", color=INK)
    figure.text(x, 1 - 0.42 / height, caption, va="top", size=9, color=MUTED)


def arrange(panels: int, most: int = 5) -> tuple[int, int]:
    """Rows and columns for a number of panels: at most `most` columns, as few empty places as can be."""
    rows = -(-panels // most)
    return rows, -(-panels // rows)


def plane(axes: "Axes", extent: float) -> None:
    """Make axes a bare square of the plane, [-extent, extent]^2."""
    axes.set(xlim=(-extent, extent), ylim=(-extent, extent), xticks=[], yticks=[], aspect="equal")
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set(visible=True, color=FAINT, linewidth=0.7)


def thinned(paths: "np.ndarray[Any, Any]", most: int = 26) -> "np.ndarray[Any, Any]":
    """Paths (T, n, 2) at no more than `most` of their times, both ends among them: as smooth to the eye."""
    import numpy as np

    return paths[np.unique(np.linspace(0, len(paths) - 1, most).round().astype(int))]


def ruler(axes: "Axes", extent: float) -> None:
    """Ticks at one side of one panel, for all sides and panels that share its scale."""
    tick = max(1, int(extent * 0.9))
    axes.set(yticks=[-tick, 0, tick])
    axes.tick_params(labelsize=7.5, length=2, pad=1.5)


def name_panel(axes: "Axes", label: str, look: Look | None, note: str = "") -> None:
    """A panel's name in its baseline's ink, and a number at the right."""
    axes.set_title(label, loc="left", size=9.5, weight="bold", color=legible(look.colour) if look else INK, pad=4)
    if note:
        axes.text(1, -0.03, note, transform=axes.transAxes, ha="right", va="top", size=8, color=MUTED)


def legible(colour: str) -> str:
    """A colour dark enough for text on white: mixed with ink until its relative luminance is at most 0.3."""
    from matplotlib.colors import to_hex, to_rgb

    rgb, ink = to_rgb(colour), to_rgb(INK)
    for share in (0.0, 0.15, 0.3, 0.45, 0.6):
        r, g, b = ((1 - share) * a + share * b for a, b in zip(rgb, ink, strict=True))
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (r, g, b)]
        if 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] <= 0.3:
            break
    return to_hex((r, g, b))


def blank(axes: Sequence["Axes"]) -> None:
    """Take axes without a panel out of the figure."""
    for one in axes:
        one.remove()
