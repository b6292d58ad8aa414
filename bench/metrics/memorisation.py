"""How many samples are copies of training data, by the nearest neighbours in the train and in the held-out split.

    M = 1 - s / c,    s = share of samples whose nearest neighbour in both splits is held out,    c = m / (n + m)

for n training and m held-out examples. A sample that knows no more of the train than of the held-out split has its
nearest neighbour in the latter with probability c, so M = 0 on average, whatever the samples' quality, and negative by
chance. If all samples are copies M = 1, if a part of them are it is that part. For equal splits M = 2 p - 1, with p the
share of samples nearer to the train split (Platzer & Reutterer 2021). A tie counts as c.

Distances are Euclidean between points, and between the pixels of images. The error is the deviation of M over random
splits of the same N = n + m examples, of samples that know of neither: with w_e the share of samples that are nearest
to example e of all, sqrt((1 - c) / c (N sum_e w_e^2 - 1) / (N - 1)). It is large if samples crowd around few examples.
"""

from typing import TYPE_CHECKING, Any

from bench.errors import NotApplicable
from bench.metrics.metric import Facts, register_metric

if TYPE_CHECKING:
    from torch import Tensor

    from bench.datasets.base import Dataset

BLOCK = 2**23  # float64 numbers of a split that are searched at once: 64 MiB
MEANING = (
    "Share of samples that only copying explains, by how often their nearest neighbour is a held-out example rather "
    "than a training one: 0 on average for a model that generalises, which may be below 0 by chance, and 1 for copies."
)
FACTS = {"memorisation": Facts("Memorisation", meaning=MEANING, place=39)}


@register_metric("memorisation", facts=FACTS, in_curve=True, limit=10_000, of_train=True)
def memorisation(samples: "Tensor", reference: "Tensor", dataset: "Dataset", *_: Any) -> tuple[float, float]:
    """Share of samples that only copying explains, by nearest training and held-out neighbours.

    Samples are points (n, D) or uint8 pixels (n, C, H, W); both splits are searched whole. M has its error.
    NotApplicable if samples are given what held-out examples are, near which they then lie.
    """
    import numpy as np

    if dataset.is_given or dataset.is_joined:
        raise NotApplicable(f"samples are given what the {dataset.held_out} split is, and lie nearest to it")

    n, m = len(dataset.train), len(dataset.test)
    chance = m / (n + m)
    (to_train, of_train), (to_test, of_test) = (_nearest(samples, x, dataset) for x in (dataset.train, dataset.test))
    held_out = np.where(to_train == to_test, chance, to_test < to_train).mean()
    shares = np.bincount(np.where(to_test < to_train, n + of_test, of_train)) / len(samples)
    spread = ((n + m) * float((shares**2).sum()) - 1) / (n + m - 1)
    return 1 - float(held_out) / chance, ((1 - chance) / chance * spread) ** 0.5


def _nearest(samples: "Tensor", split: "Tensor", dataset: "Dataset") -> tuple[Any, Any]:
    """The example of a split that is nearest to each sample: distances (n,), and which it is (n,)."""
    import numpy as np
    from sklearn.neighbors import NearestNeighbors

    x = samples.flatten(1).double().numpy()
    distance, index, start = np.full(len(x), np.inf), np.zeros(len(x), dtype=np.int64), 0
    for part in split.split(max(1, BLOCK // x.shape[1])):
        y = (dataset.pixels(part) if dataset.is_image else part).flatten(1).double().numpy()
        to, of = (found[:, 0] for found in NearestNeighbors(n_neighbors=1).fit(y).kneighbors(x))
        closer = to < distance
        distance, index = np.where(closer, to, distance), np.where(closer, start + of, index)
        start += len(part)
    return distance, index
