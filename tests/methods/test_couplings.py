"""Pairs of noise and data: plans against formulas of their own, and what the network is told of them."""

import math
from typing import Any

import ot
import pytest
import torch
from oracles import Idle
from torch import Tensor

from baselines.icfm import ICFM
from baselines.ot_cfm import OTCFM
from bench.methods import couplings
from bench.methods.assignment import assignment
from bench.methods.batch import Batch
from bench.methods.couplings import entropic, told_of
from bench.methods.network import CountedNetwork


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pairs(method: OTCFM | ICFM, x0: Tensor, batch: Batch, seed: int = 0, net: Any = None) -> tuple[Tensor, Tensor]:
    return told_of(net, method.coupled(batch, x0, seeded(seed)))


def test_the_entropic_plan_of_two_pairs_is_a_logistic_function() -> None:
    """Scaling rows and columns leaves p11 p22 / (p12 p21) = exp(-(c11 + c22 - c12 - c21) / e), and sums are 1/2."""
    cost = torch.tensor([[0.3, 2.0], [1.1, 0.5]], dtype=torch.float64)
    for regularisation in (0.2, 1.0, 5.0):
        odds = math.exp((2.0 + 1.1 - 0.3 - 0.5) / (2 * regularisation))
        same = 0.5 * odds / (1 + odds)
        expected = torch.tensor([[same, 0.5 - same], [0.5 - same, same]], dtype=torch.float64)
        torch.testing.assert_close(entropic(cost, regularisation, 1e-6).double(), expected, rtol=1e-4, atol=1e-6)


def test_the_entropic_plan_of_two_gaussians_has_their_correlation() -> None:
    """Regularisation 2 s^2 between N(0, 1) and N(0, 1): ((4 + s^4)^(1/2) - s^2) / 2, here of 300 quantiles each."""
    x = torch.special.ndtri((torch.arange(300, dtype=torch.float64) + 0.5) / 300)[:, None]
    for s in (0.7, 1.0, 2.0):
        weights = entropic(torch.cdist(x, x).square(), 2 * s**2)
        correlation = float((weights * (x @ x.T)).sum())
        assert correlation == pytest.approx((math.sqrt(4 + s**4) - s**2) / 2, abs=5e-3)


def test_an_entropic_plan_is_finite_however_small_the_regularisation() -> None:
    """exp(-cost / regularisation) itself would be 0 everywhere; each x1 still has its weight."""
    cost = torch.cdist(torch.randn(40, 300, generator=seeded()), torch.randn(40, 300, generator=seeded(1))).square()
    weights = entropic(cost.double(), 0.05)
    torch.testing.assert_close(weights.sum(1), torch.full((40,), 1 / 40, dtype=torch.float64))


def test_scaling_and_its_logarithms_give_one_entropic_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of costs to 60 times the regularisation, beside a constant that scaling alone would not hold."""
    cost = torch.cdist(4 * torch.randn(60, 2, generator=seeded()), torch.randn(60, 2, generator=seeded(1))).square()
    scaled = entropic(cost.double() + 1e4, 2.0)
    monkeypatch.setattr(couplings, "LARGEST", 0.0)
    torch.testing.assert_close(entropic(cost.double(), 2.0), scaled.double(), rtol=1e-4, atol=1e-12)


def test_one_of_each_row_comes_by_its_weight() -> None:
    """Weights 0, 1, 2, 0, 5 of 4,000 rows; shares within four deviations, and none of weight 0."""
    weights = torch.tensor([0.0, 1.0, 2.0, 0.0, 5.0])
    counts = couplings.one_of_each_row(weights.expand(4000, 5), seeded()).bincount(minlength=5)
    for count, p in zip(counts.tolist(), (weights / 8).tolist(), strict=True):
        assert abs(count - 4000 * p) <= 4 * math.sqrt(4000 * p * (1 - p))


def test_an_entropic_pair_is_drawn_by_its_weight() -> None:
    """Two points at 0 and 1, 400 batches: the share of crossed pairs is that of the plan, and x1 is the batch."""
    x = torch.tensor([[0.0], [1.0]])
    crossed, method, n = 0, OTCFM(coupling="sinkhorn", regularisation=4.0), 400  # times their spread, 1/2
    for seed in range(n):
        x0, x1 = pairs(method, x, Batch(x), seed)
        assert torch.equal(x1, x)
        crossed += int((x0 != x).sum())
    share = 1 / (1 + math.exp(0.5))
    assert abs(crossed / (2 * n) - share) < 4 * math.sqrt(share * (1 - share) / (2 * n))


@pytest.mark.parametrize(("dim", "scale"), [(2, 2.3), (2, 0.01), (64, 0.5), (3072, 0.5)])
def test_the_default_entropic_plan_is_found_in_few_iterations_and_near_the_least_cost(dim: int, scale: float) -> None:
    x0, x1 = torch.randn(2, 256, dim, generator=seeded(), dtype=torch.float64)
    cost = torch.cdist(scale * x1, x0).square()
    e = OTCFM(coupling="sinkhorn").entropy(cost)
    assert e == pytest.approx(0.4 * scale * math.sqrt(dim), rel=0.1)  # of -2 x1 x0, all that tells plans apart
    _, log = ot.sinkhorn([], [], cost, e, method="sinkhorn_log", stopThr=couplings.ACCURACY, log=True)
    weights = entropic(cost, e)
    assert log["niter"] <= 60 and (256 * weights.sum(0) - 1).abs().max() < 0.03
    best, mean = float(cost[range(256), assignment(cost)].mean()), float(cost.mean())
    assert float((weights * cost).sum()) - best < 0.2 * (mean - best)
    assert OTCFM(coupling="sinkhorn").entropy(0 * cost) > 0


def test_what_two_samples_are_given_alike_costs_nothing() -> None:
    """However many samples there are, and however large the vectors; unlike ones cost w |c1 - c0|^2."""
    given = 50 * torch.randn(40, 10, generator=seeded())
    given[20:] = given[:20]
    found = OTCFM(given_weight=3.0).told(Batch(torch.zeros(40, 2), given=given))
    assert not found.diagonal().any() and not found.diagonal(20).any()
    torch.testing.assert_close(found[0, 1], 3 * (given[0] - given[1]).double().square().sum(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("cls", [OTCFM, ICFM])
def test_pairs_drawn_with_replacement_are_those_of_the_permutation(cls: type[OTCFM] | type[ICFM]) -> None:
    x0, x1 = torch.randn(64, 2, generator=seeded(1)), 1 + torch.randn(64, 2, generator=seeded(2))
    best = {tuple(b.tolist()): a for a, b in zip(*pairs(cls(coupling="exact"), x0, Batch(x1)), strict=True)}
    some, ends = pairs(cls(coupling="drawn"), x0, Batch(x1))
    assert all(torch.equal(best[tuple(b.tolist())], a) for a, b in zip(some, ends, strict=True))
    left = len({tuple(b.tolist()) for b in ends}) / 64
    assert abs(left - (1 - math.exp(-1))) < 0.15  # n draws leave out 1 / e of n
    free = pairs(cls(coupling="independent"), x0, Batch(x1))
    assert torch.equal(free[0], x0) and torch.equal(free[1], x1)


def test_the_network_is_told_of_the_rows_that_are_drawn() -> None:
    n = 32
    x0, x1, labels = torch.randn(n, 2, generator=seeded()), torch.arange(2.0 * n).reshape(n, 2), torch.arange(n)
    net = CountedNetwork(Idle(), given=x1 + 1, labels=labels)
    drawn = pairs(OTCFM(coupling="drawn"), x0, Batch(x1, labels, x1 + 1), net=net)[1]
    assert net.labels is not None and torch.equal(drawn, x1[net.labels])
    assert net.given is not None and torch.equal(net.given, drawn + 1)


def test_noise_does_not_tell_a_class_that_the_network_is_told() -> None:
    """Far apart, two classes keep their own noise; with w = 0, or where the network is told none, they do not."""
    n = 32
    x0, labels = torch.randn(n, 2, generator=seeded()), torch.arange(n) % 2
    batch = Batch(torch.randn(n, 2, generator=seeded(1)) + 3 * labels[:, None], labels)
    told = pairs(OTCFM(labels=True), x0, batch)[0]
    for of in (0, 1):
        rows = labels == of
        assert torch.equal(told[rows], pairs(OTCFM(), x0[rows], Batch(batch.x[rows]))[0])
    blind, untold = pairs(OTCFM(labels=True, given_weight=0.0), x0, batch)[0], pairs(OTCFM(), x0, batch)[0]
    assert torch.equal(blind, untold) and not torch.equal(blind, told)


def test_independent_pairs_have_a_path_and_others_none() -> None:
    for cls in (OTCFM, ICFM):
        assert cls(coupling="independent").path is not None and cls(coupling="exact").path is None
    assert OTCFM(coupling="independent", prediction="score").needs_gaussian
    assert [ICFM(prediction=p).needs_gaussian for p in ("velocity", "data")] == [False, True]
