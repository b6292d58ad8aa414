"""How far a Gaussian fitted to samples is from data that is Gaussian.

    KL(N(m, C) || p) = -ln det(2 pi e C) / 2 - E ln p,    m, C the mean and the covariance (1/n) of the samples

ln p is quadratic, so E ln p of the fitted Gaussian is the mean of ln p over the samples, and the moments of p need not
be known. The measure sees two moments of samples, those at t = 1: so [SF]2M (Tong et al., AISTATS 2024) prints it for
bridges between Gaussians, where DSBM (Shi et al., NeurIPS 2023) averages it over t. n samples of p itself have about
d (d + 3) / (4 n).
"""

from typing import TYPE_CHECKING, Any

from bench.errors import NotApplicable
from bench.metrics.metric import Facts, register_metric

if TYPE_CHECKING:
    from torch import Tensor

    from bench.datasets.base import Dataset

ROUNDING = 1e-9  # of a log-density, which third differences of a quadratic one are below
MEANING = (
    "KL divergence from a Gaussian fitted to the samples to the data, which is Gaussian; blind to all but moments."
)
FACTS = {"gaussian_kl": Facts("Gaussian KL", "nats", "lower", meaning=MEANING, place=27)}


@register_metric(
    "gaussian_kl", facts=FACTS, data="points", in_sweep=True, settings=lambda x, reference: {"dim": x.shape[1]}
)
def gaussian_kl(samples: "Tensor", reference: "Tensor", dataset: "Dataset", *_: Any) -> float:
    """In nats, of samples (n, D); infinite if they do not span all dimensions.

    NotApplicable if the log-density of the data is not known, or no quadratic.
    """
    import math

    import torch

    from bench.methods.finite import all_finite

    log_prob = dataset.log_prob
    if log_prob is None:
        raise NotApplicable(f"the density of {dataset.name} is not known")
    x, y = samples.double(), reference.double()
    all_finite(x, "samples")
    half = len(y) // 2
    start, step = y[:half], (y[half : 2 * half] - y[:half]) / 3
    a, b, c, d = (log_prob(start + k * step) for k in range(4))
    if not (d - 3 * c + 3 * b - a).abs().max() <= ROUNDING * torch.stack([a, b, c, d]).abs().max():
        raise NotApplicable(f"{dataset.name} is not Gaussian")
    covariance = torch.cov(x.T, correction=0).reshape(x.shape[1], -1)
    entropy = (x.shape[1] * (1 + math.log(2 * math.pi)) + float(torch.logdet(covariance))) / 2
    return -entropy - float(log_prob(x).mean())
