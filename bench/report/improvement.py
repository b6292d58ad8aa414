"""Which of several methods is better, over several datasets at once: mean ranks and probabilities of improvement.

With the values x_1, ..., x_N of a method on a dataset and y_1, ..., y_M of another, one a seed and less being better,

    P(X < Y) = 1 / (N M) sum_ij S(x_i, y_j),    S = 1, 1/2, 0 for x_i below, equal to, above y_j.

The probability of improvement of a method is the mean of P over the other methods, then over datasets (Agarwal et al.
2021). Its 95% interval is that of the percentile bootstrap, stratified: the seeds of each method on each dataset are
drawn anew among themselves.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
Values = Mapping[str, Sequence[float]]  # by method, one a seed, of one dataset
DRAWS = 2000


class Improvement(NamedTuple):
    """P of a method over the others, its interval (NaN if no method has two seeds), its mean rank, datasets."""

    probability: float
    low: float
    high: float
    rank: float
    datasets: int


def improvements(datasets: Sequence[Values], draws: int = DRAWS) -> dict[str, Improvement]:
    """The comparison of all methods; a dataset with a single method says nothing and is left out."""
    datasets = [values for values in datasets if len(values) > 1]
    rng = np.random.default_rng(0)
    found: dict[str, list[tuple[float, Array, float]]] = {}
    for values in datasets:
        seeds = {method: np.asarray(x, float)[None] for method, x in values.items()}
        again = {method: x[0][rng.integers(x.size, size=(draws, x.size))] for method, x in seeds.items()}
        means = [float(np.mean(x)) for x in values.values()]
        for method, x in values.items():
            rank = 1 + sum(m < np.mean(x) for m in means) + (sum(m == np.mean(x) for m in means) - 1) / 2
            found.setdefault(method, []).append((float(_over(seeds, method)[0]), _over(again, method), float(rank)))
    several = any(len(x) > 1 for values in datasets for x in values.values())
    made = {}
    for method, of in found.items():
        low, high = np.quantile(np.mean([x for _, x, _ in of], axis=0), [0.025, 0.975])
        interval = (float(low), float(high)) if several else (math.nan, math.nan)
        probability, rank = float(np.mean([p for p, *_ in of])), sum(r for *_, r in of) / len(of)
        made[method] = Improvement(probability, *interval, rank, len(of))
    return made


def probability_below(x: Array, y: Array) -> float:
    """P(X < Y) of values (N,) and (M,); NaN if one is."""
    if np.isnan(x).any() or np.isnan(y).any() or not (x.size and y.size):
        return math.nan
    return float(_below(x[:, None], y[None]).mean())


def _below(x: Array, y: Array) -> Array:
    return (x < y) + 0.5 * (x == y)


def _over(values: Mapping[str, Array], method: str) -> Array:
    """P of a method over the mean other one, of values (draws, seeds) by method: (draws,)."""
    x = values[method][:, :, None]
    others = [y[:, None, :] for name, y in values.items() if name != method]
    return np.mean([_below(x, y).mean((1, 2)) for y in others], axis=0)
