"""Names beside points, placed so that they do not cover each other."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from bench.report.canvas import legible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLACES = (
    *((9, 0), (-9, 0), (0, 12), (0, -12), (8, 9), (8, -9), (-8, 9), (-8, -9)),
    *((9, 17), (9, -17), (-9, 17), (-9, -17)),
)

BELOW = ((7, -10), (-7, -10), (0, -13))  # where the steps of the front do not pass


class Box(NamedTuple):
    """A rectangle in pixels."""

    x0: float
    y0: float
    x1: float
    y1: float

    def meets(self, other: "Box") -> bool:
        return self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1


class Label(NamedTuple):
    """A name for a point; `below` asks for a place under it first."""

    text: str
    x: float
    y: float
    colour: str
    bold: bool
    below: bool


def place_labels(axes: "Axes", labels: Sequence[Label]) -> None:
    """Write each name at the first place around its point where it covers no point and no other name."""
    from matplotlib.patheffects import withStroke

    figure = axes.get_figure(root=True)
    assert figure is not None
    scale = figure.dpi / 72
    points = [axes.transData.transform((label.x, label.y)) for label in labels]
    taken = [Box(x - 6 * scale, y - 6 * scale, x + 6 * scale, y + 6 * scale) for x, y in points]
    frame = axes.get_window_extent()
    for (x, y), label in sorted(zip(points, labels, strict=True), key=lambda pair: pair[1].y):
        width, height = 4.9 * len(label.text) * scale, 9 * scale
        places = BELOW + PLACES if label.below else PLACES
        for dx, dy in places:
            left = x + dx * scale - (width if dx < 0 else width / 2 if dx == 0 else 0)
            box = Box(left, y + dy * scale - height / 2, left + width, y + dy * scale + height / 2)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not any(box.meets(other) for other in taken):
                break
        else:
            dx, dy = places[0]
        taken.append(box)
        axes.annotate(
            label.text,
            (label.x, label.y),
            (dx, dy),
            textcoords="offset points",
            va="center",
            ha="right" if dx < 0 else "center" if dx == 0 else "left",
            size=8.5,
            color=legible(label.colour),
            weight="bold" if label.bold else "normal",
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )
