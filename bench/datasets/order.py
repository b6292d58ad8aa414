"""One fixed random order for every split, so that its first n samples are a fair sample of all.

Published sets are sorted by class, by writer or by batch; likelihoods, curves and what samples are given take the
first n samples of a split. Sample i of a split of N is number permutation(N)[i] in the published order, by NumPy's
RandomState, whose stream never changes. Labels have the length of their images, hence the same order. Packed images are
put in it when they are packed, MNIST, Fashion-MNIST and CIFAR-10 when they are opened; points are independent draws and
need none. Data of one's own have an order for each seed, SEED unless they say another. A dataset of a plugin calls
`shuffled` if it is sorted.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SEED = 9


def permutation(n: int, seed: int = SEED) -> NDArray[np.int64]:
    """Which of the n published samples stands at each place."""
    return np.random.RandomState(seed).permutation(n).astype(np.int64)


def places(n: int, seed: int = SEED) -> NDArray[np.int64]:
    """At which place each of the n published samples stands: the inverse of `permutation`."""
    return np.argsort(permutation(n, seed))


def shuffled(values: Tensor, seed: int = SEED) -> Tensor:
    """A copy of a split's images or labels, shape (N, ...), in the fixed order."""
    return values[torch.from_numpy(permutation(len(values), seed))]


def evenly(n: int, total: int, part: int = 0, parts: int = 1) -> Tensor:
    """n of `total` places, spread evenly over them; those of different parts are disjoint if n parts <= total.

    Place i of a part is floor((i parts + part) total / (n parts)).
    """
    return (torch.arange(n) * parts + part) * total // (n * parts)
