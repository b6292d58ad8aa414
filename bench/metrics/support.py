"""Samples where the data has no density, or hardly any; for data with a known log-density.

    outside support = share of samples x with p(x) = 0
    low density     = share of samples x with p(x) < q,    q the 1% quantile of p over the held-out points

so that the data itself has 0 and 1% (0, if p is constant on its support). The errors are those of a share of n
independent samples.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from bench.errors import NotApplicable
from bench.metrics.metric import Facts, register_metric

if TYPE_CHECKING:
    from torch import Tensor

    from bench.datasets.base import Dataset

Density = Callable[["Tensor"], "Tensor"]
QUANTILE, AT_ONCE = 0.01, 10_000
OUTSIDE = "Share of samples that lie where the data's density is 0."
LOW = (
    "Share of samples where the data's density is below its 1% quantile over held-out data, zero density included: for "
    "a perfect model 1%, or 0 if the density is constant; less if the tails are lost."
)
FACTS = {
    "outside_support": Facts("Outside support", "", "lower", meaning=OUTSIDE, place=25),
    "low_density": Facts("Low density", "", meaning=LOW, place=26),
}
SETTINGS = {"quantile": QUANTILE}


@register_metric("support", facts=FACTS, data="points", in_curve=True, in_sweep=True, settings=lambda *_: SETTINGS)
def support(samples: "Tensor", reference: "Tensor", dataset: "Dataset", *_: Any) -> tuple[tuple[float, float], ...]:
    """Shares of samples outside the data's support, and below its 1% density quantile.

    Each has its error. NotApplicable if the data has no known density.
    """
    if dataset.log_prob is None:
        raise NotApplicable(f"the density of {dataset.name} is not known")
    of_samples = _densities(dataset.log_prob, samples)
    return _share(of_samples == -math.inf), _share(of_samples < _rare(dataset.log_prob, dataset.test))


@lru_cache(maxsize=2)  # held-out points are asked for at each point of a sweep or of a curve, and are ten times as many
def _rare(log_prob: Density, held_out: "Tensor") -> float:
    """The 1% quantile of ln p over the held-out points."""
    return float(_densities(log_prob, held_out).quantile(QUANTILE, interpolation="lower"))


def _densities(log_prob: Density, x: "Tensor") -> "Tensor":
    import torch

    from bench.methods.finite import all_finite

    log_p = torch.cat([log_prob(part) for part in x.split(AT_ONCE)]).double()
    all_finite(torch.where(log_p == -math.inf, 0.0, log_p), "log-densities of the data's law")
    return log_p


def _share(which: "Tensor") -> tuple[float, float]:
    p = float(which.double().mean())
    return p, (p * (1 - p) / len(which)) ** 0.5
