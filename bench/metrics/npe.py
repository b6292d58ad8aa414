"""The path energy beside what optimal transport needs.

NPE = |path energy - W2^2(p_0, data)| / W2^2(p_0, data)                          (Tong et al. 2024)
"""

from bench.metrics.metric import Facts, declare

NPE = "Normalised path energy, |path energy - W₂²| / W₂² with W₂ between noise and data: 0 for optimal transport."

declare("npe", data="points", npe=Facts("NPE", "", "lower", "geometry", NPE, place=41))


def npe(energy: float, optimal: float) -> float:
    """NPE of paths of that energy, between noise and data of that W2."""
    return abs(energy - optimal**2) / optimal**2
