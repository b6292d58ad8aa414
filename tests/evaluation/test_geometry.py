"""The geometry of flows whose paths are known."""

import pytest
import torch
from oracles import GaussianMixture, field, whitened
from scipy.integrate import quad
from torch import Tensor

from bench.evaluation.paths import follow
from bench.methods.ode import Solver
from bench.methods.paths import OptimalTransport

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
