"""The 2-D sets of [SF]2M (Tong et al. 2024, "Simulation-free Schroedinger bridges via score and flow matching").

They are those of its table 2, by the public runner of TorchCFM, and have the names, but not the scales, of FFJORD's
sets (bench/datasets/toys.py, curves.py). The paper draws 10,000 points for training, validation and test each, and
others for each seed: a suite says so by seed = "run". Points are independent draws, where scikit-learn spaces angles
evenly before it shuffles, and the 8 Gaussians have equal counts over all splits. Densities of curves are quadratures.

moons_to_8gaussians starts from a set, too. Both have 10,000 points a split: training pairs points at random, and sample
i of a split starts at point i of the source's. That source is standardised by one mean and one deviation of both
coordinates, here those of the law: of cos t or 1 - cos t, sin t or 1/2 - sin t, and noise s, the mean is 3/8 and the
variance (1 + 5/8 - 1/pi) / 2 + s^2 - (3/8)^2.
"""

import math
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from bench.datasets.base import Dataset
from bench.datasets.curves import half_circles, quadrature
from bench.datasets.gaussians import Mixture, mixture
from bench.datasets.points import F64, Points, Sample, choice, normal, polar, split_points, uniform
from bench.datasets.splits import split_by

SIZE = 10_000  # of each split
SOURCE_NOISE = 0.1
SOURCE_MEAN = 3 / 8
SOURCE_STD = math.sqrt((1 + 5 / 8 - 1 / math.pi) / 2 + SOURCE_NOISE**2 - SOURCE_MEAN**2)


def split_equally(
    points: Points,
    *,
    n_train: int = SIZE,
    n_test: int = SIZE,
    n_validation: int | None = None,
    seed: int | Literal["run"] = 0,
    run_seed: int = 0,
) -> Dataset:
    """`split_points` with the paper's sizes."""
    sizes = {"n_train": n_train, "n_test": n_test, "n_validation": n_validation}
    return split_points(points, **sizes, seed=seed, run_seed=run_seed)  # type: ignore[arg-type]


@lru_cache
def eight(radius: float, std: float) -> Mixture:
    """Equal Gaussians at 8 even angles, the first at 0."""
    return mixture(polar(radius, torch.arange(8, dtype=F64) * (math.pi / 4)), std)


@lru_cache
def moons_law(scale: float, shift: tuple[float, float], noise: float) -> Mixture:
    """scale (moons + N(0, noise^2 I)) + shift as a mixture over the nodes of the angle."""
    t, w = quadrature(0, math.pi, 24)
    return mixture(scale * half_circles(t).flatten(0, 1) + t.new_tensor(shift), scale * noise, w.repeat(2))


def moons(scale: float, shift: tuple[float, float], noise: float) -> Sample:
    """Draws of `moons_law`."""

    def sample(n: int, rng: torch.Generator) -> Tensor:
        curves = half_circles(math.pi * uniform(n, rng))
        points = curves[choice(2, n, rng), torch.arange(n)] + noise * normal(n, rng)
        return scale * points + points.new_tensor(shift)

    return sample


def s_curve(t: Tensor) -> Tensor:
    """1.5 (sin t, sign(t) (cos t - 1)), shape (N, 2): scikit-learn's S seen from the side."""
    return 1.5 * torch.stack([t.sin(), t.sign() * (t.cos() - 1)], 1)


@lru_cache
def s_curve_law() -> Mixture:
    """The S as a mixture over the nodes of t in [-3 pi / 2, 3 pi / 2]."""
    t, w = quadrature(-1.5 * math.pi, 1.5 * math.pi, 48)
    return mixture(s_curve(t), 1.5 * 0.05, w)


@split_by("sf2m_8gaussians", split_equally)
def sf2m_8gaussians(data_dir: Path) -> Points:
    """Eight equal Gaussians of unit variance on a circle of radius 5."""
    law = eight(5.0, 1.0)
    return Points("sf2m_8gaussians", law.sample, extent=9.0, law=lambda: law)


@split_by("sf2m_moons", split_equally)
def sf2m_moons(data_dir: Path, shift: Literal["first", "both"] = "first") -> Points:
    """scikit-learn's moons of noise 0.05, times 2, with 1 taken from the first coordinate, or from both."""
    where = (2.0, (-1.0, 0.0 if shift == "first" else -1.0), 0.05)
    edition = "1" if shift == "first" else "1-shift_both"
    return Points("sf2m_moons", moons(*where), edition=edition, law=lambda: moons_law(*where))


@split_by("sf2m_scurve", split_equally)
def sf2m_scurve(data_dir: Path) -> Points:
    """scikit-learn's S curve of noise 0.05, its first and third coordinates, times 1.5."""

    def sample(n: int, rng: torch.Generator) -> Tensor:
        return s_curve(3 * math.pi * (uniform(n, rng) - 0.5)) + 1.5 * 0.05 * normal(n, rng)

    return Points("sf2m_scurve", sample, law=s_curve_law)


@split_by("sf2m_moons_to_8gaussians", split_equally)
def sf2m_moons_to_8gaussians(data_dir: Path) -> Points:
    """Eight Gaussians of std 1.5 on a circle of radius 12, from standardised moons of noise 0.1, times 7."""
    scale, law = 7 / SOURCE_STD, eight(12.0, 1.5)
    where = (scale, (-scale * SOURCE_MEAN, -scale * SOURCE_MEAN), SOURCE_NOISE)
    source = Points("moons", moons(*where), law=lambda: moons_law(*where))
    return Points("sf2m_moons_to_8gaussians", law.sample, extent=17.5, source=source, law=lambda: law)
