"""The sliced 2-Wasserstein distance between samples and held-out points (POT).

    SW2^2(P, Q) = E_u W2^2(u.P, u.Q),    u uniform on the unit sphere          Bonneel et al. 2015

W2 between points on a line couples them in order, so it is exact for as many points as are drawn. A shift by s has
SW2 = |s| / sqrt(D), and SW2 <= W2 / sqrt(D).
"""

from typing import TYPE_CHECKING, Any

from bench.metrics.metric import Facts, register_metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PROJECTIONS, AT_ONCE = 500, 50
SETTINGS = {"projections": PROJECTIONS}
MEANING = (
    "Sliced 2-Wasserstein distance: the root mean square of W₂ along random directions, in the data's own units, of "
    "all samples."
)
FACTS = {"sliced_w2": Facts("Sliced W₂", "", "lower", meaning=MEANING, place=21)}


@register_metric("sliced_w2", facts=FACTS, data="points", in_curve=True, in_sweep=True, settings=lambda *_: SETTINGS)
def sliced_w2(samples: "Tensor", reference: "Tensor", dataset: Any, rng: "torch.Generator") -> float:
    """W2 along random directions, of all samples.

    Points are (n, D) and (m, D); PROJECTIONS directions are drawn from rng.
    """
    import ot
    import torch

    directions = torch.randn(samples.shape[1], PROJECTIONS, generator=rng, dtype=torch.float64)
    directions /= directions.norm(dim=0)
    x, y = samples.double().numpy(), reference.double().numpy()
    parts = [ot.sliced_wasserstein_distance(x, y, projections=u.numpy()) for u in directions.split(AT_ONCE, 1)]
    return float(torch.tensor(parts, dtype=torch.float64).square().mean().sqrt())
