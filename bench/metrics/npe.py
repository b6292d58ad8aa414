"""The path energy beside what optimal transport needs.

NPE = |path energy - W2^2(p_0, data)| / W2^2(p_0, data)                          (Tong et al. 2024)

W2 is that of large draws, the same for all runs of a set (bench/evaluation/yardsticks.py); where the seed of a run
draws the set, or the source is another than N(0, I), it is that of the run's own noise and test points. W2^2 of
2,000 points of the plane is high by 1 to 2%, so an NPE of 0.02 cannot be told from 0.
"""

from bench.metrics.metric import Facts, declare

NPE = "Normalised path energy, |path energy - W₂²| / W₂² with W₂ between noise and data: 0 for optimal transport."

declare("npe", data="points", npe=Facts("NPE", "", "lower", "geometry", NPE, place=41))


def npe(energy: float, optimal: float) -> float:
    """NPE of paths of that energy, between noise and data of that W2."""
    return abs(energy - optimal**2) / optimal**2
