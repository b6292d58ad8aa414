"""The kinetic energy of the paths from noise to samples.

path energy = E int |v(t, x_t)|^2 dt >= W2^2(p_0, p_1), with equality for optimal transport
"""

from typing import TYPE_CHECKING

from bench.metrics.metric import Facts, declare

if TYPE_CHECKING:
    from torch import Tensor

ENERGY = (
    "Mean of the squared speed of samples integrated along their way from noise to data; at least W₂² between noise "
    "and data, with equality for optimal transport."
)

declare("path_energy", path_energy=Facts("Path energy", "", "lower", "geometry", ENERGY, place=40))


def path_energy(v: "Tensor", times: "Tensor", rule: str = "trapezoid") -> "Tensor":
    """int |v|^2 dt of each path, (n,); v is (T, n, D) at `times` (T,).

    By the trapezoidal rule, or by the "left" sum of |v|^2 at the beginning of each step: of the steps of Euler's method
    that is the energy of the polygon that samples move on, and what Tong et al.'s code sums.
    """
    import torch

    squares = v.square().sum(-1)
    if rule == "left":
        return times.diff() @ squares[:-1]
    return torch.trapezoid(squares, times, dim=0)
