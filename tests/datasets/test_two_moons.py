"""The simulator two_moons: sbibm's formulas, and the closed posterior against brute force and against its own draws."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench.config.registry import datasets
from bench.datasets.contract import checked
from bench.datasets.observed import observed
from bench.datasets.two_moons import OBSERVATIONS, OFFSET, RADIUS, log_prob, posterior, ring, share, simulated
from bench.errors import UsageError

# In the middle; where both moons meet; cut by one edge of the square, and by two; as far out as a ring goes.
CASES = [
    (-0.6396706, 0.16234657),
    (0.2, 0.05),
    (-0.35, 0.75),
    (0.14563406, -1.170141),
    (-1.05, 0.0),
    (0.34, 0.0),
]


def likelihood(x: Tensor, theta: Tensor) -> Tensor:
    """p(x | theta) of one x, by sbibm's way: turn theta by -pi/4, take it off, and look at radius and angle."""
    c, s = math.cos(-math.pi / 4), math.sin(-math.pi / 4)
    z0, z1 = c * theta[:, 0] - s * theta[:, 1], s * theta[:, 0] + c * theta[:, 1]
    u, v = x[0] + z0.abs() - OFFSET, x[1] - z1
    radius = (u.square() + v.square()).sqrt()
    density = (-((radius - 0.1) / 0.01).square() / 2).exp() / (0.01 * math.sqrt(2 * math.pi))
    return torch.where(u > 0, density / (math.pi * radius), 0.0)


def around(x: Tensor, side: int) -> tuple[Tensor, float]:
    """theta whose p lies on a grid of [0, 0.2] x [-0.2, 0.2] around the ring's centre; the area of a cell."""
    u, v = ((torch.arange(side, dtype=torch.float64) + 0.5) / side * 0.2, torch.linspace(-0.2, 0.2, side).double())
    u = u[u + OFFSET > x[0]]
    p = torch.cartesian_prod(u, v)
    along, across = p[:, 0] + OFFSET - x[0], x[1] - p[:, 1]
    theta = [torch.stack([s * along - across, s * along + across], 1) / math.sqrt(2) for s in (1, -1)]
    return torch.cat(theta), 0.2 / side * 0.4 / (side - 1)


@pytest.mark.slow
@pytest.mark.parametrize("x", CASES)
def test_the_posterior_is_bayes_rule_by_brute_force(x: tuple[float, float]) -> None:
    observed = torch.tensor(x, dtype=torch.float64)
    theta, cell = around(observed, 300)
    found = log_prob(theta, observed.expand_as(theta)).exp()
    by_hand = torch.where((theta.abs() <= 1).all(1), likelihood(observed, theta), 0.0)
    assert float(found.sum()) * cell == pytest.approx(1, abs=6e-3)  # where the edge of a cut goes through cells
    torch.testing.assert_close(found, by_hand / (2 * share(observed[None])), rtol=1e-9, atol=1e-12)
    outside = torch.tensor([[1.01, 0.0], [0.0, 0.0]], dtype=torch.float64)
    assert (log_prob(outside, observed.expand(2, 2)) == -math.inf)[0]


@pytest.mark.slow
@pytest.mark.parametrize("x", CASES)
def test_the_share_of_the_ring_that_has_a_theta(x: tuple[float, float]) -> None:
    n = 1_000_000
    p = ring(n, torch.Generator().manual_seed(0))
    along, across = p[:, 0] - x[0], x[1] - p[:, 1]
    theta = torch.stack([along - across, along + across], 1) / math.sqrt(2)
    seen = float(((theta.abs() <= 1).all(1) & (along >= 0)).double().mean())
    found = float(share(torch.tensor([x], dtype=torch.float64)))
    assert found == pytest.approx(seen, abs=5 * math.sqrt(seen * (1 - seen) / n) + 1e-12)


def test_nothing_is_cut_of_most_rings_and_all_of_what_no_theta_makes() -> None:
    found = share(torch.tensor([CASES[0], (0.6, 0.0), (0.0, 2.0)], dtype=torch.float64))
    torch.testing.assert_close(found, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))


@pytest.mark.slow
@pytest.mark.parametrize("x", CASES)
def test_draws_have_the_law_of_the_density(x: tuple[float, float]) -> None:
    """In each quarter around the median."""
    n, observed = 20_000, torch.tensor(x, dtype=torch.float64)
    theta, cell = around(observed, 300)
    draws = posterior(torch.tensor([x]).expand(n, 2), torch.Generator().manual_seed(0)).double()
    density = log_prob(theta, observed.expand_as(theta)).exp() * cell
    edges = draws.median(0).values

    def place(points: Tensor) -> Tensor:
        return (points > edges).long() @ torch.tensor([1, 2])

    mass = torch.zeros(4, dtype=torch.float64).index_add(0, place(theta), density) / density.sum()
    seen = torch.bincount(place(draws), minlength=4) / n
    torch.testing.assert_close(seen.double(), mass, rtol=0, atol=5 * 0.5 / math.sqrt(n))
    assert torch.isfinite(log_prob(draws.float(), torch.tensor([x]).expand(n, 2))).all()


def test_a_posterior_of_two_whole_rings_has_their_entropy() -> None:
    """ln 2 + ln pi + H(r) + E ln r, with E ln r = ln m - s^2 / 2 m^2 - 3 s^4 / 4 m^4 of r ~ N(m, s^2)."""
    x = torch.tensor([CASES[0]]).expand(20_000, 2)
    surprise = -log_prob(posterior(x, torch.Generator().manual_seed(0)).double(), x)
    ratio = (0.01 / RADIUS) ** 2
    radius = 0.5 * math.log(2 * math.pi * math.e) + math.log(0.01)
    exact = math.log(2 * math.pi) + radius + math.log(RADIUS) - ratio / 2 - 0.75 * ratio**2
    assert float(surprise.mean()) == pytest.approx(exact, abs=4 * float(surprise.std()) / math.sqrt(20_000))
    assert exact == pytest.approx(-3.65601, abs=1e-5)


def test_an_observation_that_no_theta_makes_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.datasets.two_moons.ROUNDS", 2)
    with pytest.raises(UsageError, match=r"two_moons: no theta .* makes x = \[5.0, 0.0\]$"):
        posterior(torch.tensor([[5.0, 0.0]]), torch.Generator().manual_seed(0))


def test_the_simulator_makes_half_a_ring() -> None:
    theta = torch.tensor([0.3, -0.7]).expand(40_000, 2)
    x = simulated(theta, torch.Generator().manual_seed(0))
    p = x - torch.tensor([-abs(0.3 - 0.7), -0.7 - 0.3]) / math.sqrt(2)
    assert float(p[:, 0].mean()) == pytest.approx(OFFSET + 2 * RADIUS / math.pi, abs=1e-3)
    assert float(p[:, 1].mean()) == pytest.approx(0, abs=2e-3)
    radius = (p - torch.tensor([OFFSET, 0.0])).norm(dim=1)
    assert float(radius.mean()) == pytest.approx(0.1, abs=3e-4) and float(radius.std()) == pytest.approx(0.01, rel=0.02)


def test_at_an_observation_the_test_split_has_draws_of_its_posterior() -> None:
    data, again = (
        datasets["two_moons"](Path("unused"), observation=9, n_train=50, n_test=400, seed=1) for _ in range(2)
    )
    assert torch.equal(again.test, data.test) and checked("two_moons", data) is data
    assert data.version == "1-50-400-1-observation9" and (data.test_given == torch.tensor(OBSERVATIONS[8])).all()
    assert torch.isfinite(data.log_prob(data.test, data.test_given)).all() and len(data.test.unique(dim=0)) == 400
    both = (data.test.sum(1) > 0).double().mean()  # either moon
    assert 0.4 < both < 0.6
    plain = datasets["two_moons"](Path("unused"), n_train=50, n_test=400, seed=1)
    assert torch.equal(plain.train, data.train) and torch.equal(plain.validation_given, data.validation_given)
    with pytest.raises(UsageError, match=r"^dataset two_moons: observation = 11: 1 to 10, or 0 for pairs$"):
        datasets["two_moons"](Path("unused"), observation=11)
    with pytest.raises(UsageError, match=r"^dataset moons: it has no posterior"):
        moons = datasets["moons"](Path("unused"), 50, 40)
        observed(moons, torch.zeros(2), 5, torch.Generator(), "any")


@pytest.mark.slow
def test_the_dataset() -> None:
    """Rows of theta and x belong together in every split, and fresh posterior draws have the exact likelihood."""
    data = datasets["two_moons"](Path("unused"), n_train=1000, n_test=4000, n_validation=300)
    assert checked("two_moons", data) is data and data.fixed
    for split in ("train", "validation", "test"):
        density = data.log_prob(getattr(data, split), getattr(data, f"{split}_given"))
        assert torch.isfinite(density).all() and len(density) == len(getattr(data, split))
    assert (data.log_prob(data.test, data.test_given.flip(0)) == -math.inf).double().mean() > 0.4
    fresh = data.posterior(data.test_given, torch.Generator().manual_seed(0))
    held, drawn = (-data.log_prob(x, data.test_given) for x in (data.test, fresh))
    assert float(held.mean() - drawn.mean()) == pytest.approx(0, abs=4 * float(held.std()) * math.sqrt(2 / 4000))
    assert float(held.mean()) < -3.5
    torch.testing.assert_close(data.test.std(0), torch.full((2,), 1 / math.sqrt(3)), atol=0.02, rtol=0)
