"""The arrays that stages keep beside their records, which figures are drawn from: one name, one meaning.

Points are kept in half precision, images as uint8 (n, H, W, C). T are times, n samples.
"""

from fnmatch import fnmatchcase
from typing import NamedTuple

from bench.errors import UsageError


class Kept(NamedTuple):
    """The stage whose file holds an array, and what it is."""

    stage: str
    meaning: str


ARRAYS = {
    "samples": Kept("samples", "drawn samples: points (n, d) or images (n, H, W, C)"),
    "data": Kept("samples", "held-out data, as many and of the same shape"),
    "given": Kept("samples", "what each sample is given, as images"),
    "snapshots": Kept("samples", "images on their way from noise (T, n, H, W, C)"),
    "snapshot_times": Kept("samples", "the times of `snapshots` (T,)"),
    "trajectories": Kept("samples", "points on their way from noise (T, n, 2)"),
    "times": Kept("samples", "the times of `trajectories` (T,)"),
    "extent": Kept("samples", "half the side of the square that shows the data"),
    "conditional_target": Kept("samples", "the data point x1 (2,) of a conditional path"),
    "conditional_paths": Kept("samples", "noise on its way to x1 (T, n, 2)"),
    "conditional_times": Kept("samples", "the times of `conditional_paths` (T,)"),
    "conditional_fields": Kept("samples", "the field u_t(x | x1) on a grid (T, k, k, 2)"),
    "conditional_field_times": Kept("samples", "the times of `conditional_fields` (T,)"),
    "log_densities": Kept("likelihood", "log p_t on a grid of the square (T, k, k), rows by the second coordinate"),
    "density_times": Kept("likelihood", "the times of `log_densities` (T,)"),
    "samples_midpoint_*": Kept("sweep", "samples of the midpoint rule at so many evaluations"),
}


def stage_of(name: str) -> str:
    """The stage whose file holds an array; UsageError for a name that no stage keeps."""
    for pattern, kept in ARRAYS.items():
        if fnmatchcase(name, pattern):
            return kept.stage
    raise UsageError(f"no stage keeps an array {name!r}; known: {', '.join(ARRAYS)}")
