import math

import numpy as np
import pytest

from bench.report.crossings import crossing, nfe_ratio


def test_a_goal_is_met_on_a_logarithmic_clock() -> None:
    assert crossing([1.0, 4.0], [2.0, 0.0], 1.0) == pytest.approx(2.0)  # half way
    assert crossing([1.0, 100.0, 1000.0], [4.0, 2.0, 2.5], 3.0) == pytest.approx(10.0)
    assert crossing([1.0, 4.0], [1.0, 0.0], 1.0) == 1.0
    assert crossing([1.0, 4.0], [3.0, 2.0], 1.0) == math.inf


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.7])
def test_evaluations_for_the_same_error(factor: float) -> None:
    nfe = np.array([4.0, 8.0, 20.0, 40.0, 100.0])
    assert nfe_ratio((nfe, (nfe / factor) ** -3), (nfe, nfe**-3)) == pytest.approx(factor)
    assert math.isnan(nfe_ratio((nfe, nfe**-3), (nfe, 1e6 * nfe**-3)))
