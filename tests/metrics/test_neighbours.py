"""Density and coverage, the data's support, memorisation: sets whose neighbours and densities are known."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.datasets.base import Dataset
from bench.datasets.toys import checkerboard_log_prob
from bench.errors import NotApplicable
from bench.methods.finite import NotFinite
from bench.metrics import memorisation as of_copies
from bench.metrics.density_coverage import density_coverage
from bench.metrics.memorisation import memorisation
from bench.metrics.support import support


def drawn(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


def values(found: tuple[tuple[float, object], ...]) -> tuple[float, ...]:
    return tuple(value for value, _ in found)


# Density and coverage.


def test_density_and_coverage_are_their_definitions() -> None:
    from sklearn.metrics import pairwise_distances

    x, y = drawn(40), drawn(60, 1) + 0.5
    radius = np.partition(pairwise_distances(y.double().numpy()), 5, axis=1)[:, 5]
    within = pairwise_distances(x.double().numpy(), y.double().numpy()) < radius
    expected = within.sum() / (5 * 40), within.any(0).mean()
    assert values(density_coverage(x, y)) == pytest.approx(expected, abs=1e-12)


def test_the_data_themselves_are_dense_and_cover_all() -> None:
    """Its neighbourhood holds a point and four of its five neighbours: the fifth is on the rim."""
    y = drawn(50)
    assert values(density_coverage(y, y)) == (1.0, 1.0)
    assert values(density_coverage(y + 100, y)) == (0.0, 0.0)
    density, coverage = values(density_coverage(y[:1].expand(50, 2), y))
    assert density >= 1 and coverage < 0.5  # samples of one point


def test_fresh_data_cover_nearly_all() -> None:
    density, coverage = values(density_coverage(drawn(2000), drawn(2000, 1)))
    assert density == pytest.approx(1, abs=0.05) and coverage == pytest.approx(1 - 2**-5, abs=0.02)


def test_few_samples_cover_less() -> None:
    """n of m: neighbourhoods hold Gamma(5) / m of the law, so that exp(-n p) are empty, (1 + n / m)^-5 on average."""
    found = [values(density_coverage(drawn(200, seed), drawn(1400, seed + 9)))[1] for seed in range(3)]
    assert sum(found) / 3 == pytest.approx(1 - (1 + 200 / 1400) ** -5, abs=0.03)


def test_few_data_have_no_neighbours() -> None:
    with pytest.raises(NotApplicable, match="5 data points have no 5 neighbours each"):
        density_coverage(drawn(9), drawn(5))


# Support.


def test_low_density_of_a_wide_gaussian() -> None:
    """p < 1% quantile is |x|^2 > -2 ln 0.01, which N(0, 4 I) exceeds with probability 0.01^(1/4)."""
    data = Dataset("normal", "1", drawn(9), drawn(20_000), log_prob=lambda x: -x.square().sum(1) / 2)
    (outside, none), (low, error) = support(2 * drawn(20_000, 1), None, data)
    assert (outside, none) == (0.0, 0.0) and low == pytest.approx(0.01**0.25, abs=0.02)
    assert error == pytest.approx(math.sqrt(low * (1 - low) / 20_000))
    assert support(data.test, None, data)[1][0] == pytest.approx(0.01, abs=1e-4)


def test_held_out_points_have_their_densities_computed_once() -> None:
    """By each measurement of one set the samples' alone, and by another split or law its own."""
    asked = []

    def log_prob(x: Tensor) -> Tensor:
        asked.append(len(x))
        return -x.square().sum(1) / 2

    data = Dataset("normal", "1", drawn(9), drawn(5000), validation=drawn(3000, 1), log_prob=log_prob)
    first = support(drawn(100, 2), None, data)
    assert [support(drawn(100, 2), None, data) for _ in range(3)] == [first] * 3
    assert sorted(asked) == [100] * 4 + [5000]
    tuning = support(drawn(100, 2), None, data.for_tuning)
    assert support(drawn(100, 2), None, data) == first
    assert sorted(asked) == [100] * 6 + [3000, 5000]
    rare = log_prob(drawn(3000, 1)).quantile(0.01, interpolation="lower")
    assert values(tuning)[1] == pytest.approx(float((log_prob(drawn(100, 2)) < rare).double().mean()), abs=1e-12)
    assert values(support(data.test, None, replace(data, log_prob=lambda x: -x.square().sum(1))))[1] == 49 / 5000


def test_samples_outside_the_support_are_counted() -> None:
    """The corners of the board's squares: half of them are the data's."""
    board = Dataset("board", "1", torch.ones(9, 2), torch.ones(9, 2), log_prob=checkerboard_log_prob)
    x = torch.tensor([[1.0, 1.0], [-1, -1], [1, -1], [-1, 1], [9, 9], [1, 1.5], [1.5, 1], [0.5, 0.5]])
    assert values(support(x, None, board)) == (3 / 8, 3 / 8)


def test_a_density_that_is_not_known_or_not_finite_gives_no_share() -> None:
    data = Dataset("unknown", "1", drawn(9), drawn(9))
    with pytest.raises(NotApplicable, match="the density of unknown is not known"):
        support(drawn(9), None, data)
    with pytest.raises(NotFinite, match="9 of 9 log-densities"):
        support(drawn(9), None, replace(data, log_prob=lambda x: x.sum(1) * math.nan))


# Memorisation.


@pytest.fixture
def splits() -> Dataset:
    """3000 training points and 1000 held-out ones of one law."""
    return Dataset("normal", "1", drawn(3000), drawn(1000, 1))


def test_copies_are_memorised_and_what_is_new_is_not(splits: Dataset) -> None:
    assert memorisation(splits.train[:500], None, splits)[0] == 1
    for new in (drawn(2000, 2), 3 + drawn(2000, 2), drawn(2000, 2) / 9):  # whatever its quality
        found, error = memorisation(new, None, splits)
        assert abs(found) < 2 * error < 2
    half = torch.cat([splits.train[:1000], drawn(1000, 2)])
    assert memorisation(half, None, splits)[0] == pytest.approx(0.5, abs=0.1)


def test_held_out_samples_are_the_least_memorised(splits: Dataset) -> None:
    assert memorisation(splits.test[:50], None, splits)[0] == 1 - 4000 / 1000


def test_samples_that_are_given_what_is_held_out_cannot_be_told_from_it(splits: Dataset) -> None:
    given = {f"{split}_given": getattr(splits, split)[:, :1] for split in ("train", "test")}
    pairs, image = replace(splits, **given).joined, torch.zeros(9, 1, 4, 4, dtype=torch.uint8)
    images = Dataset("small", "1", image, image, levels=256, given=lambda x: x.float())
    for dataset, x in ((pairs, pairs.test), (images, image)):
        with pytest.raises(NotApplicable, match="samples are given what the test split is, and lie nearest to it"):
            memorisation(x, None, dataset)


def test_a_tie_says_nothing(splits: Dataset) -> None:
    same = replace(splits, test=splits.train[:3000])
    assert memorisation(drawn(50, 2), None, same)[0] == 0


def test_the_error_is_the_deviation_over_all_splits() -> None:
    """Of four points one is held out, and each half of the samples is nearest to one of them: M = 1, 1, -1, -1."""
    x = torch.tensor([[0.0, 0], [0, 9], [9, 0], [9, 9]])
    splits = [Dataset("four", "1", x[torch.arange(4) != i], x[i : i + 1]) for i in range(4)]
    found = [memorisation(torch.tensor([[0.1, 0], [0, 8.9]]), None, split) for split in splits]
    assert [value for value, _ in found] == [-1.0, -1.0, 1.0, 1.0]
    assert [error for _, error in found] == pytest.approx([1.0] * 4)


@pytest.mark.parametrize("levels", [256, 17])
def test_images_are_compared_as_pixels_a_part_at_a_time(levels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = torch.Generator().manual_seed(0)
    train, test, new = (torch.randint(0, levels, (n, 1, 4, 4), generator=draw, dtype=torch.uint8) for n in (30, 20, 40))
    data = Dataset("noise", "1", train, test, levels=levels)
    squares = [(data.pixels(new).double()[:, None] - data.pixels(split).double()).square().sum((2, 3, 4)).amin(1)
               for split in (train, test)]  # fmt: skip
    share = float(torch.where(squares[0] == squares[1], 0.4, (squares[1] < squares[0]).double()).mean())
    found = memorisation(data.pixels(new), None, data)
    assert found[0] == pytest.approx(1 - share / 0.4)
    monkeypatch.setattr(of_copies, "BLOCK", 100)
    assert memorisation(data.pixels(new), None, data) == found
    assert memorisation(data.pixels(train), None, data)[0] == 1
