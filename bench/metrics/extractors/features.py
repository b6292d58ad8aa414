"""Running statistics of the features of a set of images: all that its comparison with another set needs.

With y_i = f(x_i) - o the features of image i less a fixed origin, S = sum y_i and O = sum y_i y_i^T in float64,

    mean = o + S / n,    covariance = (O - S S^T / n) / (n - 1)

and with p_i = softmax(logits of image i), summed in float64 over each of 10 splits,

    Inception Score of a split = exp((1/m) sum_i sum_y p_i log p_i - sum_y q log q),    q = (1/m) sum_i p_i

(Salimans et al. 2016: exp of the mean of KL(p_i | q)). Kernel distances and neighbourhoods need features themselves:
those of KEPT images, spread evenly over the set, since a split may be sorted by class. All are sums or rows of zeros
that each are written once, so the shares of several ranks merge by adding, and memory does not grow with n.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from bench.methods.finite import complaint
from bench.training import ranks

KEPT = 10_000
SPLITS, SHUFFLE_SEED = 10, 2020  # torch-fidelity's
SUMS = ("count", "sum", "outer", "kept", "members", "p", "p_log_p")
Extract = Callable[[Tensor], tuple[Tensor, Tensor]]


class Features:
    """The features of n images that arrive in parts, on any rank and in any order.

    `network` takes at most `batch` uint8 pixels (B, C, H, W) to features (B, D) and logits (B, K), K = `classes`.
    `origin` (D,), close to the mean and the same on every rank, keeps the covariance's sums small.
    """

    def __init__(self, n: int, network: Extract, origin: Tensor, classes: int = 0, batch: int = 64) -> None:
        self.n, self.network, self.batch = n, network, batch
        self.origin = origin.double()
        dim, splits = len(origin), min(SPLITS, n)
        self.count = self.origin.new_zeros(())
        self.sum = self.origin.new_zeros(dim)
        self.outer = self.origin.new_zeros(dim, dim)
        self.kept = torch.zeros(min(n, KEPT), dim, device=origin.device)
        self.members = self.origin.new_zeros(splits)
        self.p = self.origin.new_zeros(splits, classes)
        self.p_log_p = self.origin.new_zeros(splits)
        self.split = split_of(n, splits).to(origin.device)
        self.lost = self.origin.new_zeros(())

    @torch.no_grad()
    def update(self, pixels: Tensor, start: int) -> None:
        """Add uint8 pixels (B, C, H, W) of images `start` to `start + B - 1`, each index once."""
        if not 0 <= start <= start + len(pixels) <= self.n:
            raise ValueError(f"images {start} to {start + len(pixels) - 1} of {self.n}")
        for part in pixels.split(self.batch):
            features, logits = self.network(part)
            index = torch.arange(start, start + len(part), device=self.origin.device)
            self._add(index, features, logits.double())
            start += len(part)

    def _add(self, index: Tensor, features: Tensor, logits: Tensor) -> None:
        self.lost += (~(torch.isfinite(features).all(1) & torch.isfinite(logits).all(1))).sum()
        y = features.double() - self.origin
        self.count += len(y)
        self.sum += y.sum(0)
        self.outer.addmm_(y.T, y)
        row = -(-index * len(self.kept) // self.n)  # row r keeps image floor(r n / KEPT)
        spread = (row < len(self.kept)) & (row * self.n // len(self.kept) == index)
        self.kept[row[spread]] = features[spread].float()
        split, p = self.split[index].long(), logits.softmax(1)
        self.members.index_add_(0, split, torch.ones_like(index, dtype=torch.float64))
        self.p.index_add_(0, split, p)
        self.p_log_p.index_add_(0, split, (p * logits.log_softmax(1)).sum(1))

    def merge(self) -> None:
        """Add the shares of all ranks, once, when every rank has put in its own."""
        for name in (*SUMS, "lost"):
            ranks.total(getattr(self, name))

    @property
    def complaint(self) -> str | None:
        """Why these features are good for nothing, if some of them are not finite."""
        return complaint(int(self.lost), self.n, "images' features")

    @property
    def classes(self) -> int:
        return self.p.shape[1]

    @property
    def mean(self) -> Tensor:
        """(D,) mean of the features, float64."""
        return self.origin + self.sum / self.count

    @property
    def covariance(self) -> Tensor:
        """(D, D) unbiased covariance of the features, float64."""
        return (self.outer - torch.outer(self.sum, self.sum / self.count)) / (self.count - 1)

    def inception_score(self) -> tuple[float, float]:
        """Mean over the splits and their standard deviation, which papers print after the plus-minus (K > 0 only)."""
        q = self.p / self.members[:, None]
        scores = (self.p_log_p / self.members - torch.xlogy(q, q).sum(1)).exp()
        return float(scores.mean()), float(scores.std(correction=0))

    def state(self) -> dict[str, Tensor]:
        return {name: getattr(self, name).cpu() for name in ("origin", *SUMS)}

    @classmethod
    def load(cls, state: Mapping[str, Tensor], network: Extract, device: str, batch: int = 64) -> "Features":
        features = cls(int(state["count"]), network, state["origin"].to(device), state["p"].shape[1], batch)
        for name in SUMS:
            getattr(features, name).copy_(state[name])
        return features


def split_of(n: int, splits: int) -> Tensor:
    """(n,) uint8: which split of torch-fidelity's shuffled Inception Score each of n images belongs to."""
    shuffled = np.random.RandomState(SHUFFLE_SEED).permutation(n)
    found = torch.empty(n, dtype=torch.uint8)
    for split in range(splits):
        found[shuffled[split * n // splits : (split + 1) * n // splits]] = split
    return found
