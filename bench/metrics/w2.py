"""The 2-Wasserstein distance between samples and held-out points.

W2^2(P, Q) = min over couplings of E |x - y|^2,    exact between two sets of points (POT)
"""

from typing import TYPE_CHECKING, Any

from bench.metrics.metric import Facts, register_metric

if TYPE_CHECKING:
    from torch import Tensor


W2 = (
    "2-Wasserstein distance between samples and held-out data, in the data's own units. Finite samples leave a "
    "positive rest even for a perfect model."
)
FACTS = {"w2": Facts("W₂", "", "lower", meaning=W2, place=20)}


@register_metric("w2", facts=FACTS, data="points", in_curve=True, in_sweep=True, limit="w2_n")
def w2(samples: "Tensor", reference: "Tensor", *_: Any) -> float:
    """Of the first samples to as many held-out points."""
    return wasserstein2(samples, reference)


def wasserstein2(x: "Tensor", y: "Tensor") -> float:
    """W2 between points (n, ...) and (m, ...) of uniform weights, in the data's units; NotFinite if one is not."""
    import ot
    import torch

    from bench.methods.finite import all_finite

    all_finite(x, "samples")
    all_finite(y, "data points")
    cost = torch.cdist(x.flatten(1).double().cpu(), y.flatten(1).double().cpu()).square().numpy()
    return float(ot.emd2([], [], cost, numItermax=10**7)) ** 0.5
