"""A likelihood of bounded influence: that of the model's density p mixed with a little of a broad one q.

    NLL_e = -mean log((1 - e) p(x) + e q(x)),    e = 1e-3.

It is the NLL of a density, hence a proper score, within -ln(1 - e) = 0.001 nats above that of p. A point at which p
vanishes costs -ln(e q(x)), where the NLL of p alone is infinite: it is lost if (1 - e) p(x) < e q(x). For points q is
the normal density with mean and covariance of the training data, for dequantised images the uniform one of
[-1, 1]^d. Source: the defensive mixture of Hesterberg, Technometrics 37(2), 1995.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from bench.datasets.base import Dataset
from bench.errors import NotApplicable

EPSILON = 1e-3


def settings(dataset: Dataset) -> dict[str, Any]:
    """What a measurement quotes of the mixture."""
    return {"epsilon": EPSILON, "mixed_with": "uniform" if dataset.is_image else "normal"}


def mixed(log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
    """log((1 - e) p + e q) in nats, (n,), and which points are lost, by log p and log q."""
    model, rest = log_p + math.log1p(-EPSILON), log_q + math.log(EPSILON)
    return torch.logaddexp(model, rest), model < rest


def log_broad(dataset: Dataset, n: int) -> Tensor:
    """log q of the first n held-out samples in nats, (n,) float64.

    NotApplicable if the training data spans fewer dimensions than it has, so that its normal density is none.
    """
    if dataset.is_image:
        return torch.full((n,), -dataset.dim * math.log(2), dtype=torch.float64)
    train, x = dataset.train.double(), dataset.test[:n].double()
    mean, scale = train.mean(0), train.std(0)
    correlation = ((train - mean) / scale).T.cov().reshape(len(mean), len(mean))
    if not correlation.isfinite().all() or torch.linalg.matrix_rank(correlation, hermitian=True) < len(mean):
        raise NotApplicable("the covariance of the training data is singular")
    standard = MultivariateNormal(torch.zeros_like(mean), correlation)
    found: Tensor = standard.log_prob((x - mean) / scale) - scale.log().sum()
    return found
