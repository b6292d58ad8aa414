"""The path energy beside what optimal transport needs.

NPE = |path energy - W2^2(p_0, data)| / W2^2(p_0, data)                          (Tong et al. 2024)
"""

from typing import TYPE_CHECKING

from bench.metrics.metric import Facts, declare
from bench.metrics.w2 import wasserstein2

if TYPE_CHECKING:
    from torch import Tensor

NPE = "Normalised path energy, |path energy - W₂²| / W₂² with W₂ between noise and data: 0 for optimal transport."

declare("npe", data="points", npe=Facts("NPE", "", "lower", "geometry", NPE, place=41))


def npe(energy: float, noise: "Tensor", data: "Tensor") -> float:
    """NPE of paths of that energy, from as much noise as there is data."""
    optimal = wasserstein2(noise, data) ** 2
    return abs(energy - optimal) / optimal
