"""The distance of infinitely many samples is found where it is known, free of the bias of as many as there are."""

import pytest
import torch
from torch import Tensor

from bench.metrics.extractors.features import Features
from bench.metrics.fid import frechet_distance
from bench.metrics.fid_inf import extrapolated_distance, fitted, intercept, sizes
from bench.metrics.metric import facts_of, metric_of

D = 32


def gaussian(n: int, mean: float, deviation: float, seed: int) -> Tensor:
    return mean + deviation * torch.randn(n, D, generator=torch.Generator().manual_seed(seed))


def features(x: Tensor) -> Features:
    """Of images whose features are these rows."""
    found = Features(len(x), lambda _: (x, x[:, :0]), torch.zeros(D), batch=len(x))
    found.update(torch.zeros(len(x), 1, 1, 1, dtype=torch.uint8), 0)
    return found


def exact(mean: float, deviation: float) -> Features:
    """Features whose statistics are those of N(mean, deviation^2): what a reference of all images would have."""
    root = (D - 0.5) ** 0.5  # of 2 D points, mean + and - along each axis: variance 2 r^2 / (2 D - 1)
    return features(mean + deviation * torch.cat([torch.eye(D), -torch.eye(D)]) * root)


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (0.3, 1.5)])
def test_gaussians_are_at_the_distance_of_their_closed_form(mean: float, deviation: float) -> None:
    """FD = D (m^2 + (s - 1)^2), from which the distance of as many samples as there are is ten times further away."""
    true, reference = D * (mean**2 + (deviation - 1) ** 2), exact(0, 1)
    biased, free, errors = [], [], []
    for seed in range(8):
        samples = features(gaussian(600, mean, deviation, seed))
        value, error = extrapolated_distance(samples, reference, None, torch.Generator().manual_seed(seed))
        biased.append(frechet_distance(samples, reference) - true)
        free.append(value - true)
        errors.append(error)
    assert sum(biased) / 8 > 0.3
    assert abs(sum(free) / 8) < 0.12 * sum(biased) / 8 + 3 * torch.tensor(free).std() / 8**0.5
    assert 0.2 < sum(errors) / 8 / torch.tensor(free).std() < 5


def test_a_line_is_fitted_exactly_and_its_error_is_that_of_least_squares() -> None:
    numbers = [100, 120, 150, 200]
    assert intercept(numbers, [3 + 50 / n for n in numbers]) == pytest.approx((3, 0), abs=1e-7)
    values = torch.tensor([3.6, 3.4, 3.35, 3.2], dtype=torch.float64)
    design = torch.stack([torch.ones(4), 1 / torch.tensor(numbers).double()], 1)
    line = torch.linalg.lstsq(design, values[:, None]).solution[:, 0]
    variance = (values - design @ line).square().sum() / 2 * torch.linalg.inv(design.T @ design)[0, 0]
    assert intercept(numbers, values.tolist()) == pytest.approx((float(line[0]), float(variance) ** 0.5), rel=1e-9)


def test_numbers_go_from_half_to_all_of_the_kept_and_to_all_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    found = sizes(features(gaussian(600, 0, 1, 0)))
    assert (found[0], found[-1], len(found)) == (300, 600, 15)
    monkeypatch.setattr("bench.metrics.extractors.features.KEPT", 100)
    samples = features(gaussian(600, 0, 1, 0))
    assert sizes(samples)[-3:] == [96, 100, 600]
    assert fitted(samples, samples) == {"fit_sizes": 16, "fit_least": 50}
    # The line of distances to the samples themselves, 0 of all 600, is low where it would be high without them.
    value, _ = extrapolated_distance(samples, samples, None, torch.Generator().manual_seed(0))
    assert -0.5 < value / frechet_distance(features(samples.kept), samples) < 0


def test_its_numbers_are_its_own_by_any_extractor() -> None:
    for number, name in (("fid_inf", "fid_inf"), ("fd_inf_dinov2", "fid_inf"), ("fd_dinov2", "fid"), ("fid", "fid")):
        metric = metric_of(number)
        assert metric and metric.name == name
    assert facts_of("fd_inf_digits_cnn").title == "FD∞ digits-cnn"
    assert metric_of("fd_inf_dinov2_floor") is None and facts_of("fd_inf_dinov2_floor").title == "FD∞ dinov2 floor"
