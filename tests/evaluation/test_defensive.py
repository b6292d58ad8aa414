"""The defensive NLL: a model's density mixed with a little of a broad one, which no lost point can carry away."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from oracles import GaussianMixture, Given, Idle
from torch import Tensor

from bench.config.settings import Likelihood
from bench.datasets.base import Dataset
from bench.datasets.scaling import Scaling
from bench.errors import NotApplicable
from bench.evaluation.defensive import EPSILON, log_broad
from bench.evaluation.likelihood import blank, by_route, floor
from bench.evaluation.routes import Route, routes
from bench.evaluation.trained import Trained
from bench.methods.network import CountedNetwork
from bench.records.records import Measurement

INF, NAN = math.inf, math.nan


@dataclass(frozen=True)
class Known(Route):
    """Log-densities that are said, (K, n)."""

    said: Tensor = field(default_factory=lambda: torch.zeros(1, 1))

    def own(self) -> dict[str, Any]:
        return {"density": "own"}

    def log_p(self, net: CountedNetwork, x: Tensor, k: int, start: int) -> tuple[Tensor, Tensor]:
        found = self.said[k, start : start + len(x)]
        return found, torch.zeros_like(found)


def measured(dataset: Dataset, said: Sequence[Sequence[float]] | Tensor, **settings: Any) -> list[Measurement]:
    log_p = torch.as_tensor(said, dtype=torch.float64)
    trained = Trained(Given(lambda t, x: -x), Idle(), dataset, 0, "cpu")  # type: ignore[arg-type]
    asked = Likelihood(n=log_p.shape[1], batch=3, draws=tuple(range(1, len(log_p) + 1)), **settings)
    route = Known(trained, asked, said=log_p)
    found = by_route(route, "raw")
    assert [(m.metric, m.n, m.settings) for m in found] == [(m.metric, m.n, m.settings) for m in blank(route, "raw")]
    return found


def one(rows: list[Measurement], metric: str, draws: int = 1) -> Measurement:
    (row,) = (row for row in rows if row.metric == metric and row.settings.get("draws", draws) == draws)
    return row


def broad(dataset: Dataset, n: int) -> Tensor:
    """log N(x; mean, cov of train), by the inverse of the covariance."""
    train, x = dataset.train.double(), dataset.test[:n].double()
    apart, cov = x - train.mean(0), torch.cov(train.T).reshape(x.shape[1], -1)
    distance = torch.einsum("ni,ij,nj->n", apart, torch.linalg.inv(cov), apart)
    return -0.5 * (distance + x.shape[1] * math.log(2 * math.pi) + torch.linalg.slogdet(cov).logabsdet)


def test_the_broad_density_is_the_normal_one_of_the_training_data(points: Dataset) -> None:
    torch.testing.assert_close(log_broad(points, 40), broad(points, 40), rtol=1e-12, atol=1e-12)
    single = replace(points, train=points.train[:, :1] * 1e-6, test=points.test[:, :1], log_prob=None)
    torch.testing.assert_close(log_broad(single, 40), broad(single, 40), rtol=1e-12, atol=1e-12)


def test_a_lost_point_costs_what_the_mixture_says(points: Dataset) -> None:
    """Seven points of the exact density and one at 3.7e27 nats, which the plain mean is made of."""
    assert points.log_prob
    log_p = points.log_prob(points.test[:8].double())
    log_p[3] = -3.7e27
    rows = measured(points, log_p[None])
    q = broad(points, 8)
    costs = -(0.999 * log_p.exp() + 0.001 * q.exp()).log()
    row = one(rows, "nll_defensive_nats")
    assert row.value == pytest.approx(float(costs.mean()), abs=1e-12)
    assert row.stderr == pytest.approx(float(costs.std()) / math.sqrt(8), rel=1e-12)
    assert float(costs[3]) == pytest.approx(math.log(1000) - float(q[3]), rel=1e-12)
    assert one(rows, "nll_nats").value == pytest.approx(3.7e27 / 8)
    lost = one(rows, "lost_points")
    assert (lost.value, lost.n, lost.stderr) == (1, 8, None)
    for found in (row, lost):
        assert (found.settings["epsilon"], found.settings["mixed_with"]) == (EPSILON, "normal") == (1e-3, "normal")
    assert "epsilon" not in one(rows, "nll_nats").settings


def test_a_sound_model_pays_a_thousandth_of_a_nat_at_most(points: Dataset) -> None:
    plain, bounded = floor(points, 250)
    assert (plain.metric, bounded.metric) == ("nll_floor", "nll_defensive_floor")
    assert -1e-3 < bounded.value - plain.value <= -math.log1p(-1e-3) < 0.0010006
    assert bounded.value != plain.value and bounded.n == 250
    assert bounded.settings == {"split": "test", "density": "exact", "epsilon": 1e-3, "mixed_with": "normal"}
    # A model whose density is q itself, whatever the data, costs what it would alone.
    rows = measured(points, log_broad(points, 100)[None])
    assert one(rows, "nll_defensive_nats").value == pytest.approx(one(rows, "nll_nats").value, abs=1e-12)
    assert one(rows, "lost_points").value == 0


def test_a_point_is_lost_below_a_thousandth_of_the_broad_density(points: Dataset) -> None:
    edge = log_broad(points, 4) + math.log(1e-3 / 0.999)
    rows = measured(points, (edge + torch.tensor([-1e-9, 1e-9, -40.0, 40.0]))[None])
    assert one(rows, "lost_points").value == 2


@pytest.mark.parametrize(("value", "lost"), [(-INF, 1), (-1e300, 1), (NAN, None), (INF, None)])
def test_a_density_of_zero_is_a_lost_point_and_none_a_failure(points: Dataset, value: float, lost: int | None) -> None:
    rows = measured(points, [[-2.0, value, -2.0, -2.0]])
    bounded, count, plain = (one(rows, name) for name in ("nll_defensive_nats", "lost_points", "nll_nats"))
    reason = "1 of 4 log-densities are not finite"
    if lost is None:
        assert math.isnan(bounded.value) and math.isnan(count.value) and bounded.reason == count.reason == reason
    else:
        q = broad(points, 4).exp()
        by_hand = -(0.999 * torch.tensor([math.exp(-2.0), 0.0, math.exp(-2.0), math.exp(-2.0)]) + 0.001 * q).log()
        assert bounded.value == pytest.approx(float(by_hand.mean()), abs=1e-7) and count.value == lost
    assert plain.reason == (None if value == -1e300 else reason)


def test_of_several_draws_the_uniform_density_is_in_every_term(images: Dataset) -> None:
    """In bits/dim, of every first K draws; the point whose densities vanish in each draw is lost, in one it is not."""
    d, n = images.dim, 4
    log_p = torch.tensor([[-1.0, -900.0, -3.0, -INF], [-2.0, -900.0, -INF, -2.5], [0.5, -INF, -3.5, -3.0]])
    rows = measured(images, log_p)
    for k in (1, 2, 3):
        terms = 0.999 * log_p[:k].double().exp() + 0.001 * 2.0**-d
        bits = -terms.mean(0).log() / (d * math.log(2)) + 7
        row = one(rows, "nll_defensive_bpd", k)
        assert row.value == pytest.approx(float(bits.mean()), rel=1e-12) and row.n == n
        assert row.settings["mixed_with"] == "uniform"
        assert one(rows, "lost_points", k).value == (2 if k == 1 else 1)
        assert one(rows, "nll_bpd", k).reason
    whole = measured(images, torch.full((1, n), -d * math.log(2), dtype=torch.float64))
    assert one(whole, "nll_defensive_bpd").value == pytest.approx(8, abs=1e-12)


def test_it_is_in_the_units_of_the_data(points: Dataset) -> None:
    """z = (x - shift) / scale: the same model of the same points in other units differs by the log of the volume."""
    assert points.log_prob
    scale, shift = torch.tensor([0.5, 40.0]), torch.tensor([3.0, -20.0])
    train, test = (x * scale + shift for x in (points.train, points.test))
    told = Dataset("scaled", "1", train, test, space=Scaling((3.0, -20.0), (0.5, 40.0)))
    log_p = points.log_prob(points.test[:9].double())
    own, other = (one(measured(data, log_p[None]), "nll_defensive_nats").value for data in (points, told))
    assert other == pytest.approx(own + math.log(20), abs=1e-5)


def test_points_that_are_given_something_have_q_of_themselves(points: Dataset) -> None:
    """q(x) is a density of x given c too; the floor mixes it with the exact density given c."""
    given = {f"{split}_given": getattr(points, split)[:, :1] for split in ("train", "test")}

    def log_prob(x: Tensor, c: Tensor) -> Tensor:
        return -0.5 * (x - c).square().sum(1) - math.log(2 * math.pi)

    told = replace(points, log_prob=log_prob, validation=None, **given)
    _, bounded = floor(told, 30)
    p = log_prob(points.test[:30].double(), points.test[:30, :1].double()).exp()
    by_hand = -(0.999 * p + 0.001 * broad(points, 30).exp()).log()
    assert bounded.value == pytest.approx(float(by_hand.mean()), abs=1e-12)


@pytest.mark.parametrize("train", ["flat", "tied", "few"])
def test_data_without_a_normal_density_has_the_plain_nll_alone(points: Dataset, train: str) -> None:
    x = points.train.clone()
    told = {"flat": x * torch.tensor([1.0, 0.0]), "tied": x[:, :1].expand(-1, 2), "few": x[:2]}[train]
    data = replace(points, train=told)
    with pytest.raises(NotApplicable, match="the covariance of the training data is singular"):
        log_broad(data, 5)
    rows = [*measured(data, [[-2.0] * 5]), *floor(data, 5)]
    for name in ("nll_defensive_nats", "lost_points", "nll_defensive_floor"):
        assert one(rows, name).reason == "not applicable: the covariance of the training data is singular"
    assert one(rows, "nll_nats").value == 2 and one(rows, "nll_floor").reason is None


def test_a_floor_outside_the_support_is_bounded(points: Dataset) -> None:
    """As a model's: the exact density of zero is a lost point."""
    outside = replace(points, log_prob=lambda x: torch.where(x[:, 0] > 0, -2.0, -INF).double())
    plain, bounded = floor(outside, 20)
    inside = points.test[:20, 0] > 0
    by_hand = -(0.999 * inside * math.exp(-2) + 0.001 * broad(points, 20).exp()).log()
    assert plain.reason and bounded.value == pytest.approx(float(by_hand.mean()), abs=1e-7)


def test_a_bound_of_the_likelihood_has_none(points: Dataset) -> None:
    trained = Trained(Given(lambda t, x: -x), Idle(), points, 0, "cpu")  # type: ignore[arg-type]
    (route,) = routes(trained, Likelihood(n=5, batch=5))
    assert [row.metric for row in blank(route, "raw")][:3] == ["nll_nats", "nll_defensive_nats", "lost_points"]
    bound = replace(Known(trained, Likelihood(n=5, batch=5)), metric="bound")
    assert {row.metric for row in blank(bound, "raw")} == {"bound_nats", "nfe_likelihood", "likelihood_seconds"}


def test_a_mixture_of_normals_against_its_own_closed_form() -> None:
    """p = N(0, 1) where the training data is N(0, 4): every term is known."""
    draw = torch.Generator().manual_seed(1)
    train = GaussianMixture.single([0.0], [4.0]).sample(4000, draw).float()
    test = torch.tensor([[-9.0], [0.0], [1.0], [30.0]])
    data = Dataset("line", "1", train, test)
    p = torch.distributions.Normal(0.0, 1.0)
    q = torch.distributions.Normal(train.double().mean(), train.double().std())
    rows = measured(data, p.log_prob(test[:, 0].double())[None])
    log_p, log_q = (density.log_prob(test[:, 0].double()) for density in (p, q))
    by_hand = -torch.logaddexp(math.log(0.999) + log_p, math.log(0.001) + log_q)
    assert one(rows, "nll_defensive_nats").value == pytest.approx(float(by_hand.mean()), abs=1e-12)
    assert one(rows, "lost_points").value == 2
