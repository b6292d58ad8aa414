"""The Schroedinger bridge between two Gaussians (Shi et al. 2023; Tong et al. 2024), whose marginals are closed forms.

From N(-m 1, I) to N(m 1, I) in d dimensions, with reference sigma dW, the entropic plan of regularisation 2 sigma^2 has
the correlation c = (sqrt(4 + sigma^4) - sigma^2) / 2 in every coordinate. With the Brownian bridge of variance
sigma^2 t (1 - t) in between,

    p_t = N((2 t - 1) m 1, v_t I),        v_t = (1 - t)^2 + t^2 + t (1 - t) sqrt(4 + sigma^4).
"""

import math
from pathlib import Path

import torch
from pydantic import FiniteFloat
from torch import Tensor

from bench.datasets.gaussians import mixture
from bench.datasets.points import Points, at_least
from bench.datasets.sf2m import split_equally
from bench.datasets.splits import split_by


def marginal(t: Tensor, sigma: float, m: float = 0.1) -> tuple[Tensor, Tensor]:
    """Mean and variance of every coordinate of p_t at times t in [0, 1]."""
    return (2 * t - 1) * m, (1 - t).square() + t.square() + t * (1 - t) * math.sqrt(4 + sigma**4)


@split_by("gaussian_bridge", split_equally)
def gaussian_bridge(data_dir: Path, dim: int = 5, m: FiniteFloat = 0.1) -> Points:
    """N(m, I) in `dim` dimensions, from points of N(-m, I): the papers have dim 5, 20, 50 and m 0.1."""
    at_least(1, "gaussian_bridge", dim=dim)
    start, end = (mixture(torch.full((1, dim), sign * m), 1.0) for sign in (-1.0, 1.0))
    source = Points("gaussian", start.sample, start.log_prob)
    return Points("gaussian_bridge", end.sample, end.log_prob, end.extent, f"1-{dim}d-{m:g}", source=source)
