"""How far the paths from noise to samples are from straight lines.

straightness = E int |(x_1 - x_0) - v(t, x_t)|^2 dt, zero for straight lines at constant speed (Liu et al. 2023)
"""

from typing import TYPE_CHECKING

from bench.metrics.metric import Facts, declare

if TYPE_CHECKING:
    from torch import Tensor

STRAIGHT = (
    "Mean squared difference between the velocity along a path and the path's mean velocity: 0 for straight lines at "
    "constant speed."
)

declare("straightness", straightness=Facts("Straightness", "", "lower", "geometry", STRAIGHT, place=42))


def straightness(v: "Tensor", chord: "Tensor", times: "Tensor") -> "Tensor":
    """int |chord - v|^2 dt of each path, (n,), by the trapezoidal rule; v is (T, n, D) at `times`, the chord (n, D)."""
    import torch

    return torch.trapezoid((chord - v).square().sum(-1), times, dim=0)
