"""Euclidean distances between all of two sets of points, a block of rows at a time.

Memory holds one block, however many points there are. A point has the same distance to another in any block.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 2**20  # float64 numbers: 8 MiB
LOW = 16  # dimensions up to which the differences themselves cost no more than a product of matrices


def blocks(x: "Tensor", y: "Tensor") -> Iterator["Tensor"]:
    """Distances of x (n, ...) to y (m, ...), float64 (rows, m) of some rows of x after the other."""
    import torch

    x, y = x.flatten(1).double(), y.flatten(1).double()
    mode = "donot_use_mm_for_euclid_dist" if x.shape[1] <= LOW else "use_mm_for_euclid_dist"
    size = max(1, BLOCK // len(y))
    for part in x.split(size):
        yield torch.cdist(part, y, compute_mode=mode)
