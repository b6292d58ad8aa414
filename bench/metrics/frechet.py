"""The Frechet distance of two sets of features, as of two Gaussians, by one symmetric eigenvalue problem.

    FD = |m_1 - m_2|^2 + tr S_1 + tr S_2 - 2 tr (A S A^T)^(1/2),    A^T A = S_1 and S = S_2, or the other way round

(A S A^T)^(1/2) has the trace of (S_1 S_2)^(1/2). Of n samples, fewer than their D features, A holds the n centred rows
over (n - 1)^(1/2): a problem of order n. Of more it is the root of the reference's covariance, which is found once.
"""

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from torch import Tensor

    from bench.metrics.extractors.features import Features

_roots: "WeakKeyDictionary[Features, Tensor]" = WeakKeyDictionary()


def of_all(samples: "Features", reference: "Features") -> float:
    """Of all samples, whose features are all kept if they are few."""
    if len(samples.kept) == samples.n < samples.kept.shape[1]:
        return of_rows(samples.kept, reference)
    return _of_many(samples.mean, samples.covariance, reference)


def of_rows(rows: "Tensor", reference: "Features") -> float:
    """Of the samples whose features are these rows (n, D)."""
    x = rows.double()
    mean, (n, dim) = x.mean(0), x.shape
    if n >= dim:
        return _of_many(mean, x.T.cov(), reference)
    factor = (x - mean) / (n - 1) ** 0.5
    return _distance(mean - reference.mean, factor, reference.covariance)


def _of_many(mean: "Tensor", covariance: "Tensor", reference: "Features") -> float:
    if reference not in _roots:
        _roots[reference] = _root(reference.covariance)
    return _distance(mean - reference.mean, _roots[reference], covariance)


def _root(covariance: "Tensor") -> "Tensor":
    """A (D, D) with A^T A = S."""
    import torch

    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp_min(0).sqrt()).T


def _distance(apart: "Tensor", factor: "Tensor", covariance: "Tensor") -> float:
    """FD of Gaussians whose means are `apart` (D,), with A (k, D) of one of them and S (D, D) of the other."""
    import torch

    between = torch.linalg.eigvalsh(factor @ covariance @ factor.T).clamp_min(0).sqrt().sum()
    return float(apart.square().sum() + factor.square().sum() + covariance.trace() - 2 * between)
