"""The Frechet distance is torch-fidelity's of any number of samples, and solves one problem of the smaller order."""

import pytest
import torch
from judging import exact_distance
from torch import Tensor

from bench.metrics import frechet
from bench.metrics.extractors.features import Features

D = 32


def drawn(n: int, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return 0.2 * seed + torch.randn(n, D, generator=rng) @ torch.randn(D, D, generator=rng)


def features(x: Tensor) -> Features:
    """Of images whose features are these rows."""
    found = Features(len(x), lambda _: (x, x[:, :0]), torch.zeros(D), batch=len(x))
    found.update(torch.zeros(len(x), 1, 1, 1, dtype=torch.uint8), 0)
    return found


def torch_fidelitys(*sides: Tensor) -> float:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    both = [fid_features_to_statistics(x.double()) for x in sides]
    return float(fid_statistics_to_metric(*both, verbose=False)["frechet_inception_distance"])


@pytest.mark.parametrize(("n", "m"), [(200, 300), (20, 300), (200, 20), (D, D), (D - 1, 8), (4, 300)])
def test_it_is_torch_fidelitys(n: int, m: int) -> None:
    """Whose square roots of rounding errors, where a covariance is singular, are up to 1e-7 of the distance."""
    x, y = drawn(n, 1), drawn(m, 2)
    exactly = 1e-10 if min(n, m) > D else 1e-6
    assert frechet.of_all(features(x), features(y)) == pytest.approx(torch_fidelitys(x, y), rel=exactly)
    assert frechet.of_rows(x, features(y)) == pytest.approx(torch_fidelitys(x, y), rel=exactly)


@pytest.mark.parametrize(("n", "m"), [(200, 300), (20, 300), (200, 20), (D - 1, 8)])
def test_singular_covariances_cost_no_digit(n: int, m: int) -> None:
    x, y = drawn(n, 1), drawn(m, 2)
    assert frechet.of_all(features(x), features(y)) == pytest.approx(exact_distance(x, y), rel=1e-11)


def test_it_takes_the_smaller_problem_and_one_factor_per_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, ...]] = []
    found: list[Tensor] = []
    values, factor = torch.linalg.svdvals, frechet.factor
    monkeypatch.setattr(torch.linalg, "svdvals", lambda m: shapes.append(tuple(m.shape)) or values(m))
    monkeypatch.setattr(frechet, "factor", lambda s: found.append(s) or factor(s))
    reference = features(drawn(300, 1))
    for n in (20, D - 1, D, 200):
        frechet.of_all(features(drawn(n, 2)), reference)
    assert shapes == [(20, D), (D - 1, D), (D, D), (D, D)]
    assert sum(s is reference.covariance or torch.equal(s, reference.covariance) for s in found) == 1
    frechet.of_all(features(drawn(20, 2)), features(drawn(300, 3)))
    assert len(found) == 4


def test_kept_rows_that_are_not_all_are_not_taken_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.metrics.extractors.features.KEPT", 10)
    x, y = drawn(200, 1), drawn(300, 2)
    samples = features(x)
    assert len(samples.kept) == 10 < D
    assert frechet.of_all(samples, features(y)) == pytest.approx(torch_fidelitys(x, y), rel=1e-10)
