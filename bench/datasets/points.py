"""From a sampler to a dataset of points: sizes and seeds checked, a random stream for each split.

The streams are apart, so the test points of a seed are the same whatever the sizes of the other splits. Here are also
the draws that samplers are made of; all are float64 and become float32 at the end.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from bench.datasets.base import Dataset
from bench.datasets.splits import split_by
from bench.errors import UsageError
from bench.training.seeds import generator

F64 = torch.float64
N_TRAIN = 262_144
N_TEST = 10_000

CHUNK = 2**21  # float64 numbers that a density holds at once in one tensor: 16 MiB

Sample = Callable[[int, torch.Generator], Tensor]
Density = Callable[[Tensor], Tensor]


def at_least(low: float, name: str, **options: float) -> None:
    """UsageError for the first option of dataset `name` that is below `low`."""
    for key, value in options.items():
        if not value >= low:
            raise UsageError(f"dataset {name}: {key} = {value}: must be at least {low}")


class Points(NamedTuple):
    """What points are drawn from: `sample(n, rng) -> (n, D)`, its log-density if it is known, and where it lies.

    `edition` names the definition.
    """

    name: str
    sample: Sample
    log_prob: Density | None = None
    extent: float = 4.0
    edition: str = "1"


def split_points(
    points: Points, *, n_train: int = N_TRAIN, n_test: int = N_TEST, n_validation: int | None = None, seed: int = 0
) -> Dataset:
    """Draw train, validation and test points, float32 (n, D).

    Sizes or a seed other than the defaults are added to the version, since they are other data. There are as many
    validation points as test points unless `n_validation` says otherwise. UsageError for sizes below 1 or a seed
    below 0.
    """
    name, sample, log_prob, extent, version = points
    if (n_train, n_test, seed) != (N_TRAIN, N_TEST, 0):
        version += f"-{n_train}-{n_test}-{seed}"
    if n_validation is not None:
        version += f"-validation{n_validation}"
    n_validation = n_test if n_validation is None else n_validation
    at_least(1, name, n_train=n_train, n_test=n_test, n_validation=n_validation)
    at_least(0, name, seed=seed)
    return Dataset(
        name=name,
        version=version,
        train=sample(n_train, torch.Generator().manual_seed(2 * seed)).float(),
        test=sample(n_test, torch.Generator().manual_seed(2 * seed + 1)).float(),
        validation=sample(n_validation, generator(seed, "validation split")).float(),
        log_prob=log_prob,
        extent=extent,
    )


def toy(name: str, log_prob: Density | None = None, extent: float = 4.0) -> Callable[[Sample], Sample]:
    """Decorator that registers `sample(n, rng) -> (n, 2)` itself."""

    def file(sample: Sample) -> Sample:
        def points(data_dir: Path) -> Points:
            return Points(name, sample, log_prob, extent)

        points.__doc__ = sample.__doc__
        split_by(name, split_points)(points)
        return sample

    return file


def uniform(n: int, rng: torch.Generator) -> Tensor:
    """U(0, 1), float64 (n,): the midpoints of 2^20 bins.

    After scaling to a few units float32 still holds them exactly, so no point rounds onto the edge of a support.
    """
    return (torch.randint(2**20, (n,), generator=rng).double() + 0.5) / 2**20


def normal(n: int, rng: torch.Generator) -> Tensor:
    """N(0, I), float64 (n, 2)."""
    return torch.randn(n, 2, generator=rng, dtype=F64)


def choice(k: int, n: int, rng: torch.Generator) -> Tensor:
    """Uniform on {0, ..., k-1}, int64 (n,)."""
    return torch.randint(k, (n,), generator=rng)


def polar(radius: Tensor | float, angle: Tensor) -> Tensor:
    """(r, t) -> r (cos t, sin t), shape (..., 2)."""
    return torch.stack([radius * angle.cos(), radius * angle.sin()], -1)


def in_chunks(density: Density, x: Tensor, width: int) -> Tensor:
    """density(x), shape (B,), computed a part of x at a time where one point takes `width` numbers."""
    return torch.cat([density(part) for part in x.split(max(1, CHUNK // width))])
