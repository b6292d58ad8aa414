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


def path_energy(v: "Tensor", times: "Tensor") -> "Tensor":
    """int |v|^2 dt of each path, (n,), by the trapezoidal rule; v is (T, n, D) at `times` (T,)."""
    import torch

    return torch.trapezoid(v.square().sum(-1), times, dim=0)
