"""Time grids against their formulas."""

import math

import pytest
import torch

from bench.errors import NotApplicable
from bench.methods.model import Model
from bench.methods.paths import OptimalTransport, Path, VariancePreserving
from bench.samplers.grids import S_MAX, S_MIN, Grid, ends, level, levels

PATHS: list[Path] = [OptimalTransport(), OptimalTransport(0.1), VariancePreserving()]
GRIDS: tuple[Grid, ...] = ("uniform", "cosine", "flow", "logsnr", "karras")
CPU = torch.device("cpu")


def model(path: Path) -> Model:
    return Model(lambda t, x: x, path.t_end, path)


@pytest.mark.parametrize("path", PATHS, ids=str)
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("steps", [1, 2, 5, 64])
def test_a_grid_rises_from_zero_to_the_end_exactly(path: Path, grid: Grid, steps: int) -> None:
    times = ends(grid, steps, 7.0, model(path), CPU)
    assert times.shape == (steps + 1,) and times.dtype == torch.float64
    assert times[0] == 0 and times[-1] == path.t_end
    assert (times.diff() > 0).all()


def test_uniform_and_cosine_grids_are_their_formulas() -> None:
    bare = Model(lambda t, x: x, t_end=0.5)
    torch.testing.assert_close(ends("uniform", 4, 7.0, bare, CPU).tolist(), [0.0, 0.125, 0.25, 0.375, 0.5])
    expected = [0.0, 0.25 * (1 - math.sqrt(0.5)), 0.25, 0.25 * (1 + math.sqrt(0.5)), 0.5]
    torch.testing.assert_close(ends("cosine", 4, 7.0, bare, CPU).tolist(), expected)


def test_the_flow_grid_takes_equal_steps_of_the_share_of_the_noise() -> None:
    path = VariancePreserving()
    times = ends("flow", 5, 7.0, model(path), CPU)
    share = path.sigma(times) / (path.alpha(times) + path.sigma(times))
    step = float(share[-1] - share[0]) / 5
    torch.testing.assert_close(share.diff(), torch.full((5,), step, dtype=torch.float64), rtol=1e-9, atol=0)
    straight = ends("flow", 5, 7.0, model(OptimalTransport()), CPU)
    torch.testing.assert_close(straight, torch.linspace(0, 1, 6, dtype=torch.float64))


@pytest.mark.parametrize("rho", [1.0, 3.0, 7.0])
def test_karras_grid_is_his_formula_on_the_vp_path(rho: float) -> None:
    """N = 6: five levels from 80 down to 0.002, then the end; the first is replaced by the start of the path."""
    path = VariancePreserving()
    found = level(path, ends("karras", 6, rho, model(path), CPU))
    a, b = 80 ** (1 / rho), 0.002 ** (1 / rho)
    expected = [(a + i / 5 * (b - a)) ** rho for i in range(1, 6)]
    torch.testing.assert_close(found[1:-1], torch.tensor(expected, dtype=torch.float64), rtol=1e-6, atol=0)
    assert float(found[0]) > S_MAX and float(found[-1]) < S_MIN


def test_karras_levels_of_the_straight_path_are_at_one_over_one_plus_s() -> None:
    """alpha = t and sigma = 1 - t: s = (1 - t) / t."""
    times = ends("karras", 4, 7.0, model(OptimalTransport()), CPU)
    a, b = 80 ** (1 / 7), 0.002 ** (1 / 7)
    expected = [1 / (1 + (a + i / 3 * (b - a)) ** 7) for i in (1, 2, 3)]
    torch.testing.assert_close(times[1:-1], torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=0)


def test_log_snr_grid_is_linear_in_the_log_snr() -> None:
    """Of a path that ends at s = 0.1, above S_MIN: all steps are equal, from s = 80 on."""
    path = OptimalTransport(0.1)
    log_s = level(path, ends("logsnr", 8, 7.0, model(path), CPU))[1:].log()
    step = math.log(0.1 / S_MAX) / 8
    torch.testing.assert_close(log_s.diff(), torch.full((7,), step, dtype=torch.float64), rtol=1e-9, atol=0)
    assert float(log_s[-1]) == pytest.approx(math.log(0.1))


@pytest.mark.parametrize("grid", ["flow", "logsnr", "karras"])
def test_a_grid_of_noise_levels_needs_a_path(grid: Grid) -> None:
    with pytest.raises(NotApplicable, match="no path"):
        ends(grid, 4, 7.0, Model(lambda t, x: x), CPU)


@pytest.mark.parametrize("rho", [1.0, 3.0, 5.0, 7.0, math.inf])
def test_levels_are_their_bounds_exactly(rho: float) -> None:
    """5th powers of 5th roots are 80.00000000000003, beyond a bound of 80 that a sampler may have."""
    found = levels(OptimalTransport(), 1.0, 6, rho)
    assert float(found[0]) == S_MAX and float(found[-2]) == S_MIN
    bounded = levels(OptimalTransport(0.1), 1.0, 6, rho)
    assert float(bounded[0]) == S_MAX and float(bounded[-1]) == float(
        level(OptimalTransport(0.1), torch.ones(1).double())
    )
