"""Pictures of the plane that two-dimensional data lie in: square panels of one scale, and densities on them."""

from typing import TYPE_CHECKING, Any

from bench.report.artefacts import Exhibit
from bench.report.canvas import WIDTH, arrange, blank, name_panel, plane, ruler, sheet

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Array = np.ndarray[Any, Any]

LEFT, RIGHT, GAP = 0.3, 0.1, 0.14
STRUCK = " A cross stands where a density could not be had."


def panels(
    exhibits: list[Exhibit], notes: dict[str, str], with_data: bool = False, right: float = RIGHT
) -> "tuple[Figure, list[Axes]]":
    """A square panel an exhibit with its variant's note, the data's first if it is shown."""
    number = len(exhibits) + with_data
    rows, columns = arrange(number, 5 if number > 8 else 4)
    side = min(2.6, (WIDTH - LEFT - right - (columns - 1) * GAP) / columns)
    figure, grid = sheet(rows, columns, (side, side), (GAP, 0.52), LEFT, right, 0.3)
    axes = [one for line in grid for one in line]
    blank(axes[number:])
    extent = max(extent_of(exhibit) for exhibit in exhibits)
    for one in axes[:number]:
        plane(one, extent)
    ruler(grid[-1][0], extent)
    if with_data:
        name_panel(axes[0], "Held-out data", None)
    for one, exhibit in zip(axes[with_data:number], exhibits, strict=True):
        name_panel(one, exhibit.label, exhibit.look, notes[exhibit.variant])
    return figure, axes[:number]


def extent_of(exhibit: Exhibit) -> float:
    """Half the side of the square that is drawn."""
    import numpy as np

    if "extent" in exhibit.arrays and float(exhibit.arrays["extent"]) > 0:
        return float(exhibit.arrays["extent"])
    points = next(array for array in exhibit.arrays.values() if array.ndim >= 2)
    return float(np.nanquantile(abs(points.astype(float)), 0.99)) or 1.0


def densities(exhibit: Exhibit) -> "Array":
    """The densities (T, n, n) that were kept by their logarithms."""
    import numpy as np

    return np.exp(np.clip(exhibit.arrays["log_densities"].astype(float), -700, 700))


def is_lost(density: "Array") -> bool:
    """Whether a picture could not be had."""
    import numpy as np

    return bool(np.isnan(density).all())


def colour_bar(figure: "Figure", image: Any, beside: Any, gap: float, label: str, **options: Any) -> None:
    """The scale of an image at the right of a box of the figure, `gap` inches from it."""
    place = (beside.x1 + gap / WIDTH, beside.y0, 0.1 / WIDTH, beside.height)
    bar = figure.colorbar(image, cax=figure.add_axes(place), **options)
    bar.set_label(label, size=8)
    bar.ax.tick_params(labelsize=7.5, length=2)
    bar.outline.set_visible(False)
