"""Methods that learn the flow map: their losses at the exact map of a Gaussian, and those of their authors' code."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.meanflow import MeanFlow
from baselines.shortcut import Shortcut
from bench.methods.batch import Batch, Context
from bench.methods.flow import mean_square
from bench.methods.tangents import along
from bench.networks.adm import adm
from bench.networks.mlp import mlp
from bench.samplers.flow_map import FlowMap

M, S = 0.7, 0.4  # the data are N(M, S^2) in each dimension


def sigma(t: Tensor) -> Tensor:
    return ((t * S) ** 2 + (1 - t) ** 2).sqrt()


def exact(t: Tensor, x: Tensor, r: Tensor) -> Tensor:
    """The average velocity of the flow X(t, r, x) = r M + (x - t M) sigma_r / sigma_t, and its velocity at r = t."""
    t, r = t[:, None], r[:, None]
    velocity = M + (t * S**2 - (1 - t)) / sigma(t) ** 2 * (x - t * M)
    apart = torch.where(r == t, 1.0, r - t)
    return torch.where(r == t, velocity, (r * M + (x - t * M) * sigma(r) / sigma(t) - x) / apart)


def formula(rows: int, k: float) -> Tensor:
    """Numbers in [-1, 1] that any language gives, float64 (rows, 1, 2, 2)."""
    return torch.sin(k * torch.arange(4 * rows, dtype=torch.float64) + k).view(rows, 1, 2, 2)


def pairs(n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """x0 and x1 of two dimensions, in float64."""
    x0, z = torch.randn(2, n, 2, generator=rng, dtype=torch.float64)
    return x0, M + S * z


def test_meanflow_at_the_exact_map_leaves_the_variance_that_x_does_not_explain(rng: torch.Generator) -> None:
    """delta = (1 + (r - t) du/dx) (v(x) - v), and 1 + (r - t) du/dx = dX/dx = sigma_r / sigma_t.

    Given x_t, v has the variance S^2 / sigma_t^2 in each dimension, and the mean v(x): the loss has no gradient.
    """
    n = 10_000
    x0, x1 = pairs(n, rng)
    for t, r in ((0.0, 1.0), (0.3, 0.8), (0.6, 0.6)):
        times = [torch.full((n,), value, dtype=torch.float64) for value in (t, r)]
        weight = torch.zeros((), dtype=torch.float64, requires_grad=True)

        def net(t: Tensor, x: Tensor, r: Tensor, weight: Tensor = weight) -> Tensor:
            return exact(t, x, r) + weight * torch.cos(x)

        loss = MeanFlow(p=0.0).misfit(net, *times, x0, x1)
        expected = 2 * S**2 * sigma(times[1][0]) ** 2 / sigma(times[0][0]) ** 4
        assert abs(loss.mean() - expected) < 4 * loss.std() / math.sqrt(n)
        x = t * x1 + (1 - t) * x0
        (gradient,) = torch.autograd.grad(loss.mean(), weight)
        slack = 2 * (loss.sqrt() * torch.cos(x).norm(dim=1)).std() / math.sqrt(n)
        assert abs(gradient) < 4 * slack
        (wrong,) = torch.autograd.grad(MeanFlow(p=0.0).misfit(net, *times, x0, x1 + 0.1).mean(), weight)
        assert abs(wrong) > 4 * slack


@pytest.mark.parametrize(
    ("p", "value"), [(1.0, 0.9997678214930061), (0.75, 1.498767279101572), (0.0, 5.751513411737658)]
)
def test_meanflow_has_the_loss_of_its_authors(p: float, value: float) -> None:
    """`MeanFlow.forward_with_loss` of github.com/Gsunshine/py-meanflow at commit 1f6d72d, whose time is 1 - t.

    Its network there is sin(z (1 + t) + h / 2) + 0.3 z h t, h = t - r, and its velocity ours reversed.
    """

    def net(t: Tensor, x: Tensor, r: Tensor) -> Tensor:
        time, length = (each.view(-1, 1, 1, 1) for each in (1 - t, r - t))
        return -(torch.sin(x * (1 + time) + length / 2) + 0.3 * x * length * time)

    theirs = torch.tensor([[0.9, 0.7, 0.5, 0.3], [0.2, 0.7, 0.1, 0.25]], dtype=torch.float64)
    loss = MeanFlow(p=p).misfit(net, *(1 - theirs), formula(4, 0.7), formula(4, 1.3))
    torch.testing.assert_close(loss.mean().item(), value, rtol=1e-12, atol=0)


def test_meanflow_draws_two_times_of_the_law_and_makes_the_share_of_them_differ(rng: torch.Generator) -> None:
    x = torch.zeros(20_000, 1)
    t, r = MeanFlow(distinct=1.0).two_times(x, rng)
    both = torch.logit(torch.cat([t, r]))  # of 1 - t the authors' law is N(-0.4, 1)
    assert (t < r).all() and abs(both.mean() - 0.4) < 0.03 and abs(both.std() - 1) < 0.03
    t, r = MeanFlow(distinct=1.0, times="uniform").two_times(x, rng)
    assert abs(t.mean() - 1 / 3) < 0.01 and abs(r.mean() - 2 / 3) < 0.01
    t, r = MeanFlow(distinct=0.25).two_times(x, rng)
    assert abs((t < r).double().mean() - 0.25) < 0.015 and (t <= r).all()
    earlier = torch.logit(t[t == r])
    assert earlier.mean() < 0.0  # those that are equal are the noisier of the two: E = 0.4 - 1 / sqrt(pi)
    assert abs(earlier.mean() - (0.4 - 1 / math.sqrt(math.pi))) < 0.03


@pytest.mark.parametrize("cls", [MeanFlow, Shortcut])
def test_a_flow_map_is_what_its_average_velocity_leads_to(cls: Callable[..., Any], rng: torch.Generator) -> None:
    model = cls().model(lambda t, x, r: exact(t, x, r))
    x0, _ = pairs(50, rng)
    t, r, end = (torch.tensor(value, dtype=torch.float64) for value in (0.2, 0.7, 1.0))
    x = model.flow_map(0 * t, t, x0)
    torch.testing.assert_close(model.flow_map(t, r, x), model.flow_map(0 * t, r, x0))
    torch.testing.assert_close(model.consistency(t, x), M + S * x0)
    torch.testing.assert_close(model.velocity(t, x), exact(t.expand(50), x, t.expand(50)))
    for steps, name in ((1, "flow_map-1"), (2, "flow_map-2"), (4, "flow_map-4")):
        assert str(model.samplers[name]) == name and model.samplers[name].steps == steps
        torch.testing.assert_close(model.samplers[name].draw(model, x0, rng), M + S * x0)
    # 1 - t multiplies the score of N(t M, sigma_t^2).
    torch.testing.assert_close(model.score(t, x), -(x - t * M) / sigma(t) ** 2)
    assert end == model.t_end


def test_a_derivative_along_a_direction_is_that_of_finite_differences(rng: torch.Generator) -> None:
    net = mlp((2,), width=16, depth=2, second_time=True).double()
    t, r = torch.rand(2, 5, generator=rng, dtype=torch.float64)
    x, v = torch.randn(2, 5, 2, generator=rng, dtype=torch.float64)
    value, slope = along(lambda t, x: net(t, x, r=r), (t, x), (torch.ones_like(t), v))
    h = 1e-6
    torch.testing.assert_close(value, net(t, x, r=r))
    torch.testing.assert_close(slope, (net(t + h, x + h * v, r=r) - net(t - h, x - h * v, r=r)) / (2 * h))
    with torch.autocast("cpu", torch.bfloat16):
        assert along(lambda t, x: net(t, x, r=r), (t, x), (torch.ones_like(t), v))[1].dtype == torch.float64


def test_meanflow_goes_through_attention_and_checkpoints(rng: torch.Generator) -> None:
    losses, gradients = [], []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        shape: dict[str, Any] = {"channels": 8, "multiples": [1], "blocks": 1, "attention": [4], "head_channels": 8}
        net = adm((1, 4, 4), **shape, second_time=True, checkpointing=checkpointing)
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        rng.manual_seed(0)
        loss = MeanFlow().loss(net, Batch(torch.ones(4, 1, 4, 4)), Context(rng))
        loss.mean().backward()
        losses.append(loss.detach())
        gradients.append([parameter.grad for parameter in net.parameters()])
    assert torch.equal(*losses)
    for plain, kept in zip(*gradients, strict=True):
        assert torch.equal(plain, kept)


def shortcut_network(t: Tensor, x: Tensor, r: Tensor) -> Tensor:
    t, r = (each.view(-1, 1, 1, 1) for each in (t, r))
    return torch.sin(x * (1 + t) + r / 2) + 0.3 * x * t * r


@pytest.mark.parametrize(("clip", "value"), [(4.0, 0.022662144933376965), (0.8, 0.02980840715797746)])
def test_shortcut_has_the_targets_of_its_authors(clip: float, value: float) -> None:
    """`get_targets` of github.com/kvfrans/shortcut-models at commit 6010043, run by numpy with sigma_min = 0.

    Its eight samples of self-consistency, of 32; |.|^2 to the network's answer.
    """
    k = torch.tensor([6, 5, 4, 3, 2, 1, 0, 0], dtype=torch.float64)
    t, d = torch.tensor([0.375, 0.59375, 0.9375, 0.375, 0.5, 0.5, 0.0, 0.0], dtype=torch.float64), 0.5**k
    method = Shortcut(clip=clip)
    x = method.path.sample(t, formula(8, 0.7), formula(8, 1.3))
    error = shortcut_network(t, x, t + d) - method.two_halves(shortcut_network, t, d, x)
    torch.testing.assert_close(error.square().mean().item(), value, rtol=1e-12, atol=0)


def test_a_shortcut_is_flow_matching_and_steps_of_two_halves(rng: torch.Generator) -> None:
    """At the exact map of a Gaussian two halves of a step are the step, and the rest is the variance of v."""
    n, asked = 8000, list[tuple[int, Tensor, Tensor]]()

    class Exact:
        def __call__(self, t: Tensor, x: Tensor, r: Tensor) -> Tensor:
            asked.append((len(x), t, r))
            return exact(t, x, r)

        def of(self, rows: Tensor) -> "Exact":
            assert torch.equal(rows, torch.arange(n // 4))
            return self

    _, x1 = pairs(n, rng)
    average: Any = Exact()
    loss = Shortcut(sections=2**20).loss(average, Batch(x1.float()), Context(rng, averaged=lambda: average))
    assert [rows for rows, *_ in asked] == [n // 4, n // 4, n]
    _, t, r = asked[-1]
    d, t = (r - t)[: n // 4], t
    lengths = torch.log2(d).round()
    assert torch.equal(lengths.unique(), torch.arange(-19.0, 1.0)) and (r <= 1 + 1e-6).all()
    assert torch.equal(t[n // 4 :], r[n // 4 :])
    assert loss[: n // 4][lengths > -12].max() < 1e-4  # shorter ones are of float32's rounding in r - t
    expected = (S**2 / sigma(t[n // 4 :]) ** 2).mean()
    assert abs(loss[n // 4 :].mean() - expected) < 5 * loss[n // 4 :].std() / math.sqrt(3 * n / 4)


def test_a_half_step_of_the_smallest_length_asks_for_the_velocity() -> None:
    asked = list[tuple[float, float]]()

    def net(t: Tensor, x: Tensor, r: Tensor) -> Tensor:
        asked.append((t.item(), r.item()))
        return x

    Shortcut(sections=8).two_halves(net, *torch.tensor([[0.5], [0.25]]), torch.ones(1, 1))
    Shortcut(sections=8).two_halves(net, *torch.tensor([[0.5], [0.5]]), torch.ones(1, 1))
    assert asked == [(0.5, 0.5), (0.625, 0.625), (0.5, 0.75), (0.75, 1.0)]


@pytest.mark.parametrize(("steps", "told"), [(2, 0.5), (4, 0.0), (5, 0.0)])
def test_a_drawn_step_asks_for_a_length_that_is_trained(steps: int, told: float, rng: torch.Generator) -> None:
    """Of sections = 4 these are 1, 1/2 and 0, the velocity, which a half step of the smallest length asks for."""
    asked = list[Tensor]()

    def net(t: Tensor, x: Tensor, r: Tensor) -> Tensor:
        asked.append(r - t)
        return torch.ones_like(x)

    x0 = torch.randn(3, 2, generator=rng)
    x = FlowMap(steps).draw(Shortcut(sections=4).model(net), x0, rng)
    torch.testing.assert_close(x, x0 + 1)
    torch.testing.assert_close(torch.cat(asked), torch.full((3 * steps,), told))


def test_a_shortcut_without_a_share_of_two_halves_is_flow_matching(rng: torch.Generator) -> None:
    calls = list[int]()

    def net(t: Tensor, x: Tensor, r: Tensor) -> Tensor:
        assert torch.equal(t, r)
        calls.append(len(x))
        return torch.zeros_like(x)

    x1 = torch.ones(6, 1, 2, 2)
    loss = Shortcut(share=0.0).loss(net, Batch(x1), Context(rng.manual_seed(3)))
    x0 = torch.randn(x1.shape, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(loss, mean_square(x1 - x0))
    assert calls == [6]
