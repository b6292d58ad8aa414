"""The geometry of flows whose paths are known."""

import math

import pytest
import torch
from oracles import GaussianMixture, field, whitened
from scipy.integrate import quad
from torch import Tensor

from bench.evaluation.follow import follow
from bench.methods.finite import NotFinite
from bench.methods.ode import Solver
from bench.methods.paths import OptimalTransport
from bench.metrics.tortuosity import tortuosity

TIGHT = Solver("dormand_prince", 1e-8, 1e-8)


MEAN, DEVIATION = (0.5, -2.0), (0.4, 3.0)
W2_SQUARED = sum(m**2 + (s - 1) ** 2 for m, s in zip(MEAN, DEVIATION, strict=True))  # from N(0, I) to N(m, s^2)


def test_a_straight_flow_has_the_least_energy() -> None:
    """x_t = x0 + t ((s - 1) x0 + m) is optimal transport between the Gaussians: energy W2^2, straightness 0."""
    m, s = torch.tensor(MEAN, dtype=torch.float64), torch.tensor(DEVIATION, dtype=torch.float64)

    def f(t: Tensor, x: Tensor) -> Tensor:
        return (s - 1) * (x - t * m) / (1 + t * (s - 1)) + m

    paths = follow(f, whitened(500, 2), 1.0, 11, TIGHT)
    assert paths.energy[0] == pytest.approx(W2_SQUARED, rel=1e-6)
    assert paths.straightness[0] == pytest.approx(0.0, abs=1e-8)
    assert paths.times.tolist() == pytest.approx([i / 10 for i in range(11)])
    x0 = paths.x[0]
    torch.testing.assert_close(paths.x[5], x0 + 0.5 * ((s - 1) * x0 + m), rtol=1e-6, atol=1e-6)


def test_the_marginal_ot_path_of_a_gaussian_has_its_energy_and_straightness() -> None:
    """x_t = t m + r_t x0 with r^2 = t^2 s^2 + (1 - t)^2: energy |m|^2 + sum int r'^2 dt, straightness energy - W2^2."""

    def speed(t: float, s: float) -> float:
        return float(t * s**2 - (1 - t)) ** 2 / (t**2 * s**2 + (1 - t) ** 2)

    energy = sum(m**2 + quad(speed, 0, 1, (s,))[0] for m, s in zip(MEAN, DEVIATION, strict=True))
    data = GaussianMixture.single(list(MEAN), [s**2 for s in DEVIATION])
    paths = follow(field(data, OptimalTransport()), whitened(500, 2), 1.0, 401, TIGHT)
    assert paths.energy[0] == pytest.approx(energy, rel=1e-4)
    assert paths.straightness[0] == pytest.approx(energy - W2_SQUARED, rel=1e-3)
    # Normalised path energy, as the samples stage forms it.
    assert abs(paths.energy[0] - W2_SQUARED) / W2_SQUARED == pytest.approx(energy / W2_SQUARED - 1, rel=1e-3)


def test_standard_errors_are_those_of_the_mean(rng: torch.Generator) -> None:
    """v = c(x0) constant along each path: the energy of a sample is |c|^2, known without solving."""
    x0 = torch.randn(400, 2, generator=rng, dtype=torch.float64)
    paths = follow(lambda t, x: torch.stack([torch.ones(len(x)).to(x), 0 * x[:, 0]], 1), x0, 1.0, 5, TIGHT)
    assert paths.energy == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-12))
    paths = follow(lambda t, x: x / (1 + t), x0, 1.0, 5, TIGHT)  # x_t = (1 + t) x0, v = x0
    square = x0.square().sum(1)
    assert paths.energy[0] == pytest.approx(float(square.mean()), rel=1e-6)
    assert paths.energy[1] == pytest.approx(float(square.std()) / 20, rel=1e-6)


def test_energy_of_a_path_that_ends_early() -> None:
    """Over [0, 1/2] at unit speed the energy is 1/2; a chord of 1/2 against a speed of 1 deviates by 1/8."""
    paths = follow(lambda t, x: torch.ones_like(x), torch.zeros(3, 1, dtype=torch.float64), 0.5, 3, TIGHT)
    assert paths.energy[0] == pytest.approx(0.5) and paths.straightness[0] == pytest.approx(0.125)


def test_half_circles_are_pi_over_2_times_their_chords() -> None:
    """v = pi J x turns every point by pi: S = int |c - v|^2 = pi^2 r^2 - 4 r^2, tortuosity pi/2 - 1 for any radius."""
    x0 = torch.tensor([[1.0, 0.0], [0.0, 3.0]], dtype=torch.float64)
    turn = torch.tensor([[0.0, math.pi], [-math.pi, 0.0]], dtype=torch.float64)
    paths = follow(lambda t, x: x @ turn, x0, 1.0, 401, TIGHT)
    assert paths.tortuosity == (pytest.approx(math.pi / 2 - 1, rel=1e-5), pytest.approx(0.0, abs=1e-8))
    assert paths.straightness[0] == pytest.approx((math.pi**2 - 4) * 5, rel=1e-4)


def test_straight_lines_at_any_speed_have_no_tortuosity(rng: torch.Generator) -> None:
    """At speed 3 t^2 the deviation is int (3 t^2 - 1)^2 dt = 4/5 a unit of chord; on few times, length is the chord."""
    x0 = torch.randn(50, 2, generator=rng, dtype=torch.float64)
    paths = follow(lambda t, x: 3 * t**2 * torch.ones_like(x), x0, 1.0, 401, TIGHT)
    assert paths.straightness[0] == pytest.approx(2 * 4 / 5, rel=1e-4)
    few = follow(lambda t, x: 3 * t**2 * torch.ones_like(x), x0, 1.0, 4, TIGHT)
    assert [few.tortuosity[0], paths.tortuosity[0]] == pytest.approx([0.0, 0.0], abs=1e-9)


def test_tortuosity_is_a_ratio_of_means_with_its_error(rng: torch.Generator) -> None:
    """Of a chord that is 0 too, which a mean of ratios has no value for; the error by resampling the paths."""
    a = torch.rand(400, generator=rng, dtype=torch.float64)
    ends, top = torch.stack([2 * a, 0 * a], 1), torch.stack([a, a.sqrt()], 1)
    ends[0] = 0
    value, error = tortuosity(torch.stack([0 * ends, top, ends]))
    length, chord = (top.norm(dim=1) + (ends - top).norm(dim=1)), ends.norm(dim=1)
    assert value == pytest.approx(float(length.sum() / chord.sum()) - 1)
    rows = torch.randint(400, (4000, 400), generator=rng)
    resampled = length[rows].sum(1) / chord[rows].sum(1)
    assert error == pytest.approx(float(resampled.std()), rel=0.05)


def test_paths_that_close_have_no_tortuosity_and_those_that_stand_have_0() -> None:
    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]], dtype=torch.float64)[:, None]
    with pytest.raises(NotFinite, match="ratios of length to chord"):
        tortuosity(corners)
    assert tortuosity(0 * corners) == (0.0, 0.0)


def test_the_left_sum_is_the_energy_of_eulers_polygon() -> None:
    """x' = x by 4 steps: x_k = (5/4)^k x0, and sum |x_(k+1) - x_k|^2 / h = h sum x_k^2; the trapezoid is another."""
    x0 = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    squares = [1.25 ** (2 * k) for k in range(5)]
    paths = follow(lambda t, x: x, x0, 1.0, 5, Solver("euler", steps=4), "left")
    assert paths.energy[0] == pytest.approx(2.5 * sum(squares[:4]) / 4)
    between = follow(lambda t, x: x, x0, 1.0, 5, Solver("euler", steps=4))
    assert between.energy[0] == pytest.approx(2.5 * (sum(squares) - (squares[0] + squares[4]) / 2) / 4)
