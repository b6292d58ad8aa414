"""Image samples side by side on a sheet of grey."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

    Array = np.ndarray[Any, Any]

LOOK: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 255, "interpolation": "nearest"}
PAPER = 200  # a grey between images, beside which both black and white ones have an edge


def show(axes: "Axes", pictures: "Array", across: int = 0) -> None:
    """Fill the axes with a sheet of images."""
    axes.imshow(tiled(pictures, across), **LOOK)
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def tiled(pictures: "Array", across: int = 0) -> "Array":
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
