"""The 2-Wasserstein distance between samples and held-out points.

W2^2(P, Q) = min over couplings of E |x - y|^2,    exact between two sets of points (POT)
"""

from typing import TYPE_CHECKING, Any

from bench.metrics.metric import Metric, register_metric

if TYPE_CHECKING:
    from torch import Tensor

    from bench.config.settings import Samples


@register_metric(
    "w2",
    title="W₂",
    direction="lower",
    data="points",
    in_curve=True,
    in_sweep=True,
    meaning="2-Wasserstein distance between samples and held-out data, in the data's own units. Finite samples leave a "
    "positive rest even for a perfect model.",
)
class W2(Metric):
    """W2 of the first samples to as many held-out points."""

    needs = "samples"

    def measure(self, x: "Tensor", reference: "Tensor", dataset: Any, rng: Any) -> float:
        return wasserstein2(x, reference)

    def most(self, config: "Samples", held_out: int, stage: str) -> int:
        return min(held_out, config.w2_n) if stage == "samples" else held_out


def wasserstein2(x: "Tensor", y: "Tensor") -> float:
    """W2 between two sets of points (n, ...) and (m, ...) with uniform weights, in the units of the data.

    Raises:
        NotFinite: a point is not finite; the transport of such costs would cost nothing.
    """
    import ot
    import torch

    from bench.methods.finite import require

    require(x, "samples")
    require(y, "data points")
    cost = torch.cdist(x.flatten(1).double().cpu(), y.flatten(1).double().cpu()).square().numpy()
    return float(ot.emd2([], [], cost, numItermax=10**7)) ** 0.5
