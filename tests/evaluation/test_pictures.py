"""What is kept of a conditional path, where its flow and its field have closed forms."""

import numpy as np
import pytest
import torch

from bench.evaluation.paths import FIELD_TIMES, GRID, conditional
from bench.methods.paths import OptimalTransport, VariancePreserving
from bench.report.artefacts import stage_of

X1 = torch.tensor([1.0, -0.5])
X0 = torch.randn(7, 2, generator=torch.Generator().manual_seed(0))


def test_the_flow_of_the_ot_path_is_straight_from_noise_to_the_point() -> None:
    kept = conditional(OptimalTransport(), X1, X0, 3.0)
    t = kept["conditional_times"][:, None, None]
    expected = t * X1.numpy() + (1 - t) * X0.numpy()
    assert kept["conditional_paths"].dtype == np.float16
    np.testing.assert_allclose(kept["conditional_paths"], expected, atol=2e-3)
    np.testing.assert_array_equal(kept["conditional_target"], X1)


def test_the_field_of_the_ot_path_points_at_the_point() -> None:
    kept = conditional(OptimalTransport(), X1, X0, 3.0)
    axis = np.linspace(-3, 3, GRID)
    x = np.stack(np.meshgrid(axis, axis), -1)  # rows by ascending second coordinate
    for field, t in zip(kept["conditional_fields"], FIELD_TIMES, strict=True):
        np.testing.assert_allclose(field, (X1.numpy() - x) / (1 - t), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("path", [OptimalTransport(0.1), VariancePreserving()], ids=str)
def test_the_paths_follow_the_field(path: OptimalTransport | VariancePreserving) -> None:
    kept = conditional(path, X1, X0, 3.0)
    t = torch.tensor(float(kept["conditional_field_times"][1]), dtype=torch.float64)
    h, x0, x1 = 1e-6, X0.double(), X1.double().expand_as(X0)
    moved = (path.sample(t + h, x0, x1) - path.sample(t - h, x0, x1)) / (2 * h)
    torch.testing.assert_close(path.conditional_velocity(t, path.sample(t, x0, x1), x1), moved, rtol=1e-6, atol=1e-6)
    assert kept["conditional_paths"][-1] == pytest.approx(X1.expand_as(X0).numpy(), abs=0.4)


def test_every_array_that_is_kept_has_a_meaning() -> None:
    assert {stage_of(name) for name in conditional(OptimalTransport(), X1, X0, 3.0)} == {"samples"}
