"""Small square panels of every method at every moment, all in one axes: forty would take longer than what they show.

Panel (i, j), of row i and moment j, is the unit square with its lower left corner at `corner(i, j)`; where there are
more rows than moments the two change places, so that the longer one runs across the page.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.report.canvas import WIDTH, legible, sheet
from bench.report.style import FAINT, MUTED, Look

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

LETTER = 0.08 / 9  # inches that a bold letter takes a point of its size


class Mosaic:
    """A figure of len(names) x len(moments) panels.

    Args:
        names: of the rows, each with its look or None.
        moments: names of what is shown of each.
        gap: inches between panels.
        right: inches kept free at the right, for a colour bar.
        framed: whether panels have a thin edge.
    """

    def __init__(
        self,
        names: Sequence[tuple[str, Look | None]],
        moments: Sequence[str],
        gap: float = 0.07,
        right: float = 0.1,
        framed: bool = True,
    ) -> None:
        self.across = len(names) > len(moments)
        rows, columns = (len(moments), len(names)) if self.across else (len(names), len(moments))
        left = 0.85 if self.across else 1.35
        side = min(1.75, (WIDTH - left - right - (columns - 1) * gap) / columns)
        size = columns * side + (columns - 1) * gap, rows * side + (rows - 1) * gap
        self.figure, [[self.axes]] = sheet(1, 1, size, left=left, right=right, bottom=0.12)
        self.axes.set(xlim=(0, size[0] / side), ylim=(-size[1] / side, 0))
        self.axes.set_axis_off()
        self.side, self.pitch = side, 1 + gap / side
        nameless: list[tuple[str, Look | None]] = [(moment, None) for moment in moments]
        above, aside = (names, nameless) if self.across else (nameless, names)
        for j, (name, look) in enumerate(above):
            size_there = min(9.0, 0.97 * self.pitch * side / (LETTER * len(name)))
            self._name(name, look, j * self.pitch + 0.5, 0.06 / side, size_there, "center", "baseline")
        for i, (name, look) in enumerate(aside):
            lines = name.replace(", ", ",\n").replace(" and ", "\nand ")
            self._name(lines, look, (0.1 - left) / side, -i * self.pitch - 0.5, 9.0, "left", "center")
        if framed:
            self._frames(rows, columns)

    def corner(self, i: int, j: int) -> tuple[float, float]:
        """Where the panel of row i at moment j begins."""
        row, column = (j, i) if self.across else (i, j)
        return column * self.pitch, -row * self.pitch - 1

    def inside(self, i: int, j: int, points: "Array", extent: float) -> "Array":
        """Points (..., 2) of the plane's square [-extent, extent]^2 where they are drawn; NaN for those outside."""
        import numpy as np

        points = points.astype(float)
        seen = (abs(points) <= extent).all(-1, keepdims=True)
        return np.where(seen, self.corner(i, j) + (points + extent) / (2 * extent), np.nan)

    def clouds(self, i: int, clouds: "Sequence[Array | None]", extent: float, colour: str) -> None:
        """Points (n, 2) of row i at every moment; None is struck."""
        import numpy as np

        for j in (j for j, cloud in enumerate(clouds) if cloud is None):
            self.strike(i, j)
        drawn = {j: cloud for j, cloud in enumerate(clouds) if cloud is not None}
        if not drawn:
            return
        size = min(8.0, 1.5 * (2000 / max(map(len, drawn.values()))) ** 0.6)
        x, y = np.concatenate([self.inside(i, j, cloud, extent) for j, cloud in drawn.items()]).T
        self.axes.scatter(x, y, s=size, color=colour, linewidths=0, alpha=0.75, rasterized=True)

    def strike(self, i: int, j: int) -> None:
        """A cross in the place of a panel that could not be had."""
        x, y = self.corner(i, j)
        self.axes.plot([x + 0.5], [y + 0.5], "x", color=MUTED, markersize=14, markeredgewidth=2)

    def picture(self, i: int, j: int, values: "Array", **options: Any) -> Any:
        """A picture (rows, columns[, 3]) that fills the panel, its longer side at least; options of imshow."""
        x, y = self.corner(i, j)
        height, width = (length / max(values.shape[:2]) for length in values.shape[:2])
        extent = (x + (1 - width) / 2, x + (1 + width) / 2, y + (1 - height) / 2, y + (1 + height) / 2)
        limits = self.axes.get_xlim(), self.axes.get_ylim()
        image = self.axes.imshow(values, extent=extent, aspect="auto", **options)
        self.axes.set(xlim=limits[0], ylim=limits[1])
        return image

    def _name(self, text: str, look: Look | None, x: float, y: float, size: float, ha: str, va: str) -> None:
        style: dict[str, Any] = {"color": legible(look.colour), "weight": "bold"} if look else {"color": MUTED}
        self.axes.text(x, y, text, ha=ha, va=va, size=size, linespacing=1.25, **style)

    def _frames(self, rows: int, columns: int) -> None:
        from matplotlib.collections import LineCollection

        square = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.0, 0.0)]
        corners = [(j * self.pitch, -i * self.pitch - 1) for i in range(rows) for j in range(columns)]
        frames = [[(x + dx, y + dy) for dx, dy in square] for x, y in corners]
        self.axes.add_collection(
            LineCollection(frames, colors=FAINT, linewidths=0.7, zorder=3, clip_on=False), autolim=False
        )
