"""Distances between two sets of points: closed forms of Gaussians and shifts, and the libraries called directly."""

import math

import numpy as np
import ot
import pytest
import torch
from torch import Tensor

from bench.config.registry import metrics
from bench.errors import NotApplicable
from bench.metrics import distances
from bench.metrics.c2st import c2st
from bench.metrics.energy_distance import energy_distance
from bench.metrics.mmd import bandwidths, mmd
from bench.metrics.sliced_w2 import PROJECTIONS, sliced_w2


def drawn(n: int, dim: int, seed: int = 0, shift: float = 0.0) -> Tensor:
    """(n, dim) of N(shift, I)."""
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)) + shift


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


# Sliced W2.


def test_sliced_w2_is_pots() -> None:
    x, y = drawn(60, 3), drawn(40, 3, 1, 0.5)
    u = torch.randn(3, PROJECTIONS, generator=seeded(), dtype=torch.float64).numpy()
    expected = ot.sliced_wasserstein_distance(
        x.double().numpy(), y.double().numpy(), projections=u / np.linalg.norm(u, axis=0)
    )
    assert sliced_w2(x, y, None, seeded()) == pytest.approx(expected, rel=1e-9)


def test_sliced_w2_of_a_shift_is_its_length_over_the_root_of_the_dimension() -> None:
    x = drawn(50, 5)
    assert sliced_w2(x + torch.tensor([3.0, 0, 0, 4, 0]), x, None, seeded()) == pytest.approx(
        5 / math.sqrt(5), rel=0.05
    )
    line = drawn(50, 1)
    assert sliced_w2(line + 2, line, None, seeded()) == pytest.approx(2, rel=1e-6)
    assert sliced_w2(line.flip(0), line, None, seeded()) == pytest.approx(0, abs=1e-6)


# Energy distance.


def test_energy_distance_is_scipys_without_pairs_of_a_point_with_itself() -> None:
    from scipy.stats import energy_distance as of_laws

    x, y = drawn(30, 1), drawn(50, 1, 1, 0.3)
    within = [float((v - v.T).double().abs().mean()) / (len(v) - 1) for v in (x, y)]
    biased = of_laws(x[:, 0].numpy(), y[:, 0].numpy()) ** 2
    assert energy_distance(x, y) == pytest.approx(biased - sum(within), rel=1e-5)


def test_energy_distance_of_two_gaussians() -> None:
    """On a line X - Y ~ N(m, 2), whose mean magnitude is 2/sqrt(pi) exp(-m^2/4) + m erf(m/2)."""
    m = 1.0
    expected = 2 * (2 / math.sqrt(math.pi) * math.exp(-(m**2) / 4) + m * math.erf(m / 2)) - 4 / math.sqrt(math.pi)
    assert energy_distance(drawn(2000, 1), drawn(2000, 1, 1, m)) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("distance", [energy_distance, mmd])
def test_equal_laws_are_at_no_distance_on_average(distance: object) -> None:
    assert callable(distance)
    found = torch.tensor([distance(drawn(4, 2, 2 * i), drawn(6, 2, 2 * i + 1)) for i in range(300)])
    assert abs(float(found.mean())) < 3 * float(found.std()) / 300**0.5 and found.min() < 0 < found.max()


@pytest.mark.parametrize("distance", [energy_distance, mmd])
def test_blocks_change_nothing(distance: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(distance)
    x, y = drawn(40, 2), drawn(50, 2, 1, 0.5)
    whole = distance(x, y)
    monkeypatch.setattr(distances, "BLOCK", 120)
    assert distance(x, y) == pytest.approx(whole, rel=1e-12)


# MMD.


def test_mmd_is_that_of_scikit_learns_kernels() -> None:
    from sklearn.metrics.pairwise import rbf_kernel

    x, y = drawn(30, 3), drawn(40, 3, 1, 0.5)
    widths = bandwidths(y)
    median = float(torch.pdist(y).median())
    assert widths == pytest.approx([4 * median, 2 * median, median, median / 2, median / 4], rel=5e-3)

    def mean(a: Tensor, b: Tensor) -> float:
        of = sum(rbf_kernel(a.double().numpy(), b.double().numpy(), 0.5 / w**2) for w in widths) / len(widths)
        return float((of.sum() - len(a)) / (len(a) * (len(a) - 1)) if a is b else of.mean())

    assert mmd(x, y) == pytest.approx(mean(x, x) + mean(y, y) - 2 * mean(x, y), abs=1e-12)


def test_mmd_of_two_gaussians() -> None:
    """E exp(-|X - Y|^2 / 2 w^2) = (w^2 / (w^2 + 2))^(D/2) exp(-|m|^2 / (2 w^2 + 4)) for N(0, I) and N(m, I)."""
    x, y, square = drawn(2000, 2), drawn(2000, 2, 1, 1.5), 2 * 1.5**2
    of = [2 * w**2 / (w**2 + 2) * (1 - math.exp(-square / (2 * w**2 + 4))) for w in bandwidths(y)]
    assert mmd(x, y) == pytest.approx(sum(of) / len(of), rel=0.05)


def test_mmd_has_no_kernel_of_points_that_are_one() -> None:
    with pytest.raises(NotApplicable, match="the median distance between held-out points is 0"):
        mmd(drawn(5, 2), torch.zeros(5, 2))


def test_settings_of_mmd_are_the_same_for_other_draws_of_the_data() -> None:
    """Or each seed whose run draws its own data would have a column of its own."""
    first, second = (metrics["mmd"].settings(drawn(9, 2), drawn(9, 2, seed)) for seed in (1, 2))
    assert first == second == {"scales": [4, 2, 1, 0.5, 0.25], "of_median": 1000}
    assert bandwidths(drawn(9, 2, 1)) != bandwidths(drawn(9, 2, 2))


# C2ST.


def sbibm(x: Tensor, y: Tensor, seed: int) -> float:
    """The metric of Lueckmann et al. 2021 on reference x and samples y."""
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.neural_network import MLPClassifier

    mean, std = torch.mean(x, dim=0), torch.std(x, dim=0)
    data = np.concatenate([((x - mean) / std).numpy(), ((y - mean) / std).numpy()])
    target = np.concatenate([np.zeros(len(x)), np.ones(len(y))])
    hidden = (10 * x.shape[1], 10 * x.shape[1])
    net = MLPClassifier(activation="relu", hidden_layer_sizes=hidden, max_iter=10000, solver="adam", random_state=seed)
    folds = KFold(n_splits=5, shuffle=True, random_state=seed)
    return float(np.mean(cross_val_score(net, data, target, cv=folds, scoring="accuracy")))


@pytest.mark.slow
def test_c2st_is_scikit_learns_own_cross_validation() -> None:
    x, y = drawn(60, 1), drawn(60, 1, 1, 0.8)
    seed = int(torch.randint(2**31, (), generator=seeded()))
    found = c2st(y, x, None, seeded())
    assert found == pytest.approx(sbibm(x, y, seed), abs=1e-6) and 0.55 < found < 0.95


@pytest.mark.slow
def test_c2st_tells_sets_apart_and_cannot_tell_one_law_from_itself() -> None:
    x = drawn(100, 2)
    x[:, 1] = 7.0  # a constant column divides by nothing
    assert c2st(x + torch.tensor([0.0, 1.0]), x, None, seeded()) == 1.0
    assert abs(c2st(x[:50], x[50:], None, seeded()) - 0.5) < 0.15  # three errors of a share of 100
