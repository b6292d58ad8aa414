"""From a sampler to a dataset of points: sizes and seeds checked, a random stream for each split.

The streams are apart, so the test points of a seed are the same whatever the sizes of the other splits. Here are also
the draws that samplers are made of; all are float64 and become float32 at the end.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from bench.datasets.base import Dataset
from bench.datasets.law import Law
from bench.datasets.source import SourcePoints
from bench.datasets.splits import split_by
from bench.errors import UsageError
from bench.training.seeds import generator

F64 = torch.float64
N_TRAIN = 262_144
N_TEST = 10_000

Sample = Callable[[int, torch.Generator], Tensor]
Density = Callable[[Tensor], Tensor]


def at_least(low: float, name: str, **options: float) -> None:
    """UsageError for the first option of dataset `name` that is below `low`."""
    for key, value in options.items():
        if not value >= low:
            raise UsageError(f"dataset {name}: {key} = {value}: must be at least {low}")


class Points(NamedTuple):
    """What points are drawn from: `sample(n, rng) -> (n, D)`, its log-density if it is known, and where it lies.

    Attributes:
        edition: names the definition.
        given: how many columns at the end of a draw are what its sample is given; log_prob(x, given) is then of the
            others, and `posterior` that of bench.Dataset.
        source: what x0 is one of: as many points are drawn of it as there are samples.
        law: () -> the law of a draw where it is a closed form, by which log_prob is known, too, unless it is said.
    """

    name: str
    sample: Sample
    log_prob: Callable[..., Tensor] | None = None
    extent: float = 4.0
    edition: str = "1"
    given: int = 0
    posterior: Callable[[Tensor, torch.Generator], Tensor] | None = None
    source: "Points | None" = None
    law: Callable[[], Law] | None = None

    @property
    def log_density(self) -> Callable[..., Tensor] | None:
        """`log_prob`, or that of the law."""
        law = self.law
        return self.log_prob if self.log_prob or law is None else lambda x: law().log_prob(x)


def split_points(
    points: Points,
    *,
    n_train: int = N_TRAIN,
    n_test: int = N_TEST,
    n_validation: int | None = None,
    seed: int | Literal["run"] = 0,
    run_seed: int = 0,
) -> Dataset:
    """Draw train, validation and test points, float32 (n, D).

    Sizes or a seed other than the defaults are added to the version, since they are other data. There are as many
    validation points as test points unless `n_validation` says otherwise. With seed = "run" each run draws points of
    its own, by `run_seed`, which the harness says. UsageError for sizes below 1 or a seed below 0.
    """
    name, version = points.name, points.edition
    if (n_train, n_test, seed) != (N_TRAIN, N_TEST, 0):
        version += f"-{n_train}-{n_test}-{seed}"
    if n_validation is not None:
        version += f"-validation{n_validation}"
    n_validation = n_test if n_validation is None else n_validation
    at_least(1, name, n_train=n_train, n_test=n_test, n_validation=n_validation)
    drawn_by = run_seed if seed == "run" else seed
    at_least(0, name, seed=drawn_by)
    streams = {
        "train": torch.Generator().manual_seed(2 * drawn_by),
        "validation": generator(drawn_by, "validation split"),
        "test": torch.Generator().manual_seed(2 * drawn_by + 1),
    }
    sizes = {"train": n_train, "validation": n_validation, "test": n_test}
    splits: dict[str, Any] = {split: points.sample(sizes[split], rng).float() for split, rng in streams.items()}
    if columns := points.given:
        splits |= {f"{split}_given": values[:, -columns:].contiguous() for split, values in splits.items()}
        splits |= {split: splits[split][:, :-columns].contiguous() for split in streams}
    source = None
    if law := points.source:
        starts = {split: law.sample(n, generator(drawn_by, f"source-{split}")).float() for split, n in sizes.items()}
        source = SourcePoints(starts, law.log_density)
    return Dataset(
        name=name,
        version=version,
        **splits,
        log_prob=points.log_density,
        law=points.law,
        posterior=points.posterior,
        source=source,
        extent=points.extent,
        by_run=seed == "run",
    )


def toy(
    name: str, log_prob: Density | None = None, extent: float = 4.0, law: Callable[[], Law] | None = None
) -> Callable[[Sample], Sample]:
    """Decorator that registers `sample(n, rng) -> (n, 2)` itself."""

    def file(sample: Sample) -> Sample:
        def points(data_dir: Path) -> Points:
            return Points(name, sample, log_prob, extent, law=law)

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
