"""The Frechet distance of two sets of features, as of two Gaussians, by one singular value decomposition.

    FD = |m_1 - m_2|^2 + tr S_1 + tr S_2 - 2 |A B^T|_*,    A^T A = S_1,  B^T B = S_2

The nuclear norm |A B^T|_*, a sum of singular values, is the trace of (S_1 S_2)^(1/2); a root of eigenvalues of S_1 S_2
would have half the digits where S_1 or S_2 is singular, as of fewer samples than features. Of n samples, fewer than
their D features, A holds the n centred rows over (n - 1)^(1/2): a matrix (n, D). The reference's B is found once.
"""

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from torch import Tensor

    from bench.metrics.extractors.features import Features

_factors: "WeakKeyDictionary[Features, Tensor]" = WeakKeyDictionary()


def of_all(samples: "Features", reference: "Features") -> float:
    """Of all samples, whose features are all kept if they are few."""
    if len(samples.kept) == samples.n < samples.kept.shape[1]:
        return of_rows(samples.kept, reference)
    return _distance(samples.mean, factor(samples.covariance), reference)


def of_rows(rows: "Tensor", reference: "Features") -> float:
    """Of the samples whose features are these rows (n, D)."""
    x = rows.double()
    mean, (n, dim) = x.mean(0), x.shape
    return _distance(mean, factor(x.T.cov()) if n >= dim else (x - mean) / (n - 1) ** 0.5, reference)


def factor(covariance: "Tensor") -> "Tensor":
    """A (D, D) with A^T A = S, by Cholesky, or of a singular S by its eigenvalues above rounding."""
    import torch

    found, failed = torch.linalg.cholesky_ex(covariance)
    if not failed:
        return found.T
    values, vectors = torch.linalg.eigh(covariance)
    values[values <= len(values) * torch.finfo(values.dtype).eps * values[-1]] = 0
    return (vectors * values.sqrt()).T


def _distance(mean: "Tensor", a: "Tensor", reference: "Features") -> float:
    """From the mean (D,) and A (k, D) of samples."""
    import torch

    if reference not in _factors:
        _factors[reference] = factor(reference.covariance)
    b = _factors[reference]
    between = torch.linalg.svdvals(a @ b.T).sum()
    return float((mean - reference.mean).square().sum() + a.square().sum() + b.square().sum() - 2 * between)
