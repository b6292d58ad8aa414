"""Paths: derivatives, boundaries, accuracy near the singular end, and conversions against closed forms."""

import math

import pytest
import torch
from oracles import GaussianMixture

from bench.methods.noise_levels import NoiseLevels
from bench.methods.paths import OptimalTransport, Path, Smoothed, Trigonometric, VariancePreserving, like

LEVELS = [NoiseLevels(), NoiseLevels(100.0, 0.02, math.inf)]
PATHS: list[Path] = [
    OptimalTransport(),
    OptimalTransport(0.1),
    Smoothed(),
    Trigonometric(),
    VariancePreserving(),
    *LEVELS,
]
TIMES = torch.linspace(0.01, 0.99, 25, dtype=torch.float64)


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_derivatives_are_those_of_alpha_and_sigma(path: Path) -> None:
    for value, derivative in ((path.alpha, path.dalpha), (path.sigma, path.dsigma)):
        t = TIMES.clone().requires_grad_()
        slope = torch.autograd.grad((value(t) + 0 * t).sum(), t)[0]  # 0 t: a constant has a derivative, too
        torch.testing.assert_close(derivative(TIMES), slope, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_scalar_and_batched_times_agree(path: Path) -> None:
    x0, x1 = torch.randn(2, 25, 3, 4, dtype=torch.float64)
    batched = path.sample(TIMES, x0, x1), path.target(TIMES, x0, x1), path.conditional_velocity(TIMES, x0, x1)
    for i, t in enumerate(TIMES):
        scalar = path.sample(t, x0, x1), path.target(t, x0, x1), path.conditional_velocity(t, x0, x1)
        for a, b in zip(batched, scalar, strict=True):
            torch.testing.assert_close(a[i], b[i])


def test_optimal_transport_is_a_straight_line_from_noise_to_data() -> None:
    path = OptimalTransport(0.1)
    x0, x1 = torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0, 5.0]])
    torch.testing.assert_close(path.sample(torch.tensor(0.0), x0, x1), x0)
    torch.testing.assert_close(path.sample(torch.tensor(1.0), x0, x1), x1 + 0.1 * x0)
    torch.testing.assert_close(path.sample(torch.tensor(0.5), x0, x1), torch.tensor([[2.05, 1.4]]))
    # The paper's regression target x1 - (1 - sigma_min) x0, at every time.
    for t in (0.0, 0.3, 1.0):
        torch.testing.assert_close(path.target(torch.tensor(t), x0, x1), torch.tensor([[2.1, 6.8]]))


def test_optimal_transport_velocity_is_the_papers_formula() -> None:
    path = OptimalTransport(0.05)
    x, x1 = torch.randn(2, 25, 2, dtype=torch.float64)
    t = TIMES[:, None]
    torch.testing.assert_close(path.conditional_velocity(TIMES, x, x1), (x1 - 0.95 * x) / (1 - 0.95 * t))


def test_variance_preserving_velocity_is_the_papers_formula() -> None:
    path = VariancePreserving()
    x, x1 = torch.randn(2, 25, 2, dtype=torch.float64)
    s = 1 - TIMES[:, None]
    big_t, rate = 0.1 * s + 19.9 * s**2 / 2, 0.1 + 19.9 * s
    paper = -(rate / 2) * (torch.exp(-big_t) * x - torch.exp(-big_t / 2) * x1) / (1 - torch.exp(-big_t))
    torch.testing.assert_close(path.conditional_velocity(TIMES, x, x1), paper)


def test_variance_preserving_keeps_the_variance() -> None:
    path = VariancePreserving()
    t = torch.linspace(0, path.t_end, 101, dtype=torch.float64)
    torch.testing.assert_close(path.alpha(t) ** 2 + path.sigma(t) ** 2, torch.ones_like(t), rtol=0, atol=1e-14)
    # T(1) = 10.05: the mean of p_0 is exp(-5.025) x1.
    assert float(path.alpha(t[0])) == pytest.approx(math.exp(-5.025), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_variance_preserving_sigma_is_accurate_at_its_end(dtype: torch.dtype) -> None:
    path = VariancePreserving()
    t = torch.tensor(path.t_end, dtype=dtype)
    s = 1 - t.item()  # what the time is in this precision
    exact = math.sqrt(-math.expm1(-(0.1 * s + 19.9 * s**2 / 2)))
    # 1 - exp(-T) in single precision has a relative error of 6e-2 here.
    assert float(path.sigma(t)) == pytest.approx(exact, rel=1e-6)
    assert exact == pytest.approx(1e-3, rel=2e-3)
    assert math.isfinite(float(path.dsigma(t)))


@pytest.mark.parametrize("path", PATHS, ids=str)
@pytest.mark.parametrize("mixture", [GaussianMixture.single([0.5, -2.0], [0.3, 4.0]), GaussianMixture.pair()])
def test_conversions_give_the_marginal_velocity(path: Path, mixture: GaussianMixture, rng: torch.Generator) -> None:
    x = 2 * torch.randn(50, 2, generator=rng, dtype=torch.float64)
    for t in TIMES[::6]:
        exact, score = mixture.velocity(path, t, x), mixture.score(path, t, x)
        torch.testing.assert_close(path.velocity_from_score(t, x, score), exact, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(path.velocity_from_eps(t, x, -path.sigma(t) * score), exact, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(path.eps_from_velocity(t, x, exact), -path.sigma(t) * score, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_conditional_velocity_from_the_noise_itself(path: Path, rng: torch.Generator) -> None:
    """Knowing x0 exactly, the conversion from eps is the regression target."""
    x0, x1 = torch.randn(2, 25, 2, generator=rng, dtype=torch.float64)
    x = path.sample(TIMES, x0, x1)
    target = path.target(TIMES, x0, x1)
    torch.testing.assert_close(path.velocity_from_eps(TIMES, x, x0), target, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(path.conditional_velocity(TIMES, x, x1), target, rtol=1e-8, atol=1e-8)


def test_oracle_score_is_the_gradient_of_its_density(rng: torch.Generator) -> None:
    """The oracle itself, checked by autograd."""
    mixture, path, t = GaussianMixture.pair(), VariancePreserving(), torch.tensor(0.7, dtype=torch.float64)
    x = torch.randn(20, 2, generator=rng, dtype=torch.float64, requires_grad=True)
    gradient = torch.autograd.grad(mixture.log_prob_at(path, t, x).sum(), x)[0]
    torch.testing.assert_close(mixture.score(path, t, x), gradient)


def test_times_are_uniform_up_to_the_end(rng: torch.Generator) -> None:
    for path in (OptimalTransport(), VariancePreserving()):
        t = path.times(torch.zeros(20_000, 2), rng)
        assert t.shape == (20_000,)
        assert t.min() >= 0 and t.max() <= path.t_end
        edges = torch.histc(t, 10, 0, path.t_end)
        assert (edges - 2000).abs().max() < 5 * math.sqrt(2000 * 0.9)


def test_like_appends_axes() -> None:
    assert like(torch.ones(4), torch.ones(4, 1, 2, 3)).shape == (4, 1, 1, 1)
    assert like(torch.tensor(2.0), torch.ones(4, 3)).shape == ()


# The density of t that importance sampling draws from: p(t) = beta / (sigma^2 Z) on [0, t_end].


def test_likelihood_times_have_their_density() -> None:
    """The distribution function is (log(e^T(t) - 1) - log(e^T(0) - 1)) / -Z: compare at quantiles, without noise."""
    path = VariancePreserving()
    u = torch.linspace(0, 1, 1001, dtype=torch.float64)
    t, z = path.likelihood_times(u)
    assert (t.diff() < 0).all() and t.max() <= path.t_end and float(t[-1]) == pytest.approx(0, abs=1e-9)
    weight = path.beta(t) / path.sigma(t) ** 2
    cumulative = torch.log(torch.expm1(path.integral(t)))
    torch.testing.assert_close(cumulative, cumulative[0] + u * z, rtol=1e-7, atol=1e-7)
    # |dt / du| = 1 / p(t) = Z sigma^2 / beta, by central differences.
    slope = -(t[2:] - t[:-2]) / (u[2:] - u[:-2])
    torch.testing.assert_close(slope[5:-5], (z / weight)[6:-6], rtol=2e-3, atol=0)


def test_likelihood_times_normalise_by_quadrature() -> None:
    from scipy.integrate import quad

    path = VariancePreserving()

    def rate(log_s: float) -> float:  # integrate over log s, where beta / sigma^2 is level
        s = math.exp(log_s)
        t = torch.tensor(1 - s, dtype=torch.float64)
        return float(path.beta(t) / path.sigma(t) ** 2) * s

    z = float(path.likelihood_times(torch.zeros(1, dtype=torch.float64))[1])
    assert quad(rate, math.log(1e-5), 0.0)[0] == pytest.approx(z, rel=1e-6)


# Noise levels.


@pytest.mark.parametrize("path", LEVELS, ids=str)
def test_noise_levels_fall_by_karras_law_between_their_ends(path: NoiseLevels) -> None:
    t, root = torch.linspace(0, 1, 11, dtype=torch.float64), path.rho
    s = path.level(t)
    torch.testing.assert_close(s[[0, -1]], torch.tensor([path.level_max, path.level_min], dtype=torch.float64))
    steps = (s.log() if root == math.inf else s ** (1 / root)).diff()
    torch.testing.assert_close(steps, steps[:1].expand(10))
    torch.testing.assert_close(path.sigma(t) / path.alpha(t), s)
    torch.testing.assert_close(path.alpha(t) ** 2 + path.sigma(t) ** 2, torch.ones_like(t))


@pytest.mark.parametrize("path", [*LEVELS, VariancePreserving()], ids=str)
def test_the_time_of_a_noise_level_is_the_inverse_of_the_level(path: Path) -> None:
    torch.testing.assert_close(path.at_level(path.sigma(TIMES) / path.alpha(TIMES)), TIMES, rtol=1e-10, atol=1e-12)
    beyond = path.at_level(torch.tensor([1e9, 1e-9], dtype=torch.float64))
    torch.testing.assert_close(beyond, torch.tensor([0.0, path.t_end], dtype=torch.float64))
