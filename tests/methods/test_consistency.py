"""Consistency training: ECT's public loss, the closed form of f on Gaussian data, and what the loss differentiates.

Data N(m, v) have f(y, s) = m + sqrt((v + least^2) / (v + s^2)) (y - m).
"""

import math

import pytest
import torch
from oracles import GaussianMixture
from torch import Tensor

from baselines import consistency
from baselines.consistency import ConsistencyModel
from baselines.edm import EDM
from bench.errors import NotApplicable
from bench.methods.batch import Batch, Context
from bench.methods.denoiser import edm_scaling
from bench.methods.network import CountedNetwork, Network
from bench.methods.paths import like
from bench.networks.mlp import mlp

DATA = GaussianMixture.single([0.5, -2.0], [0.3, 4.0])
MEAN, VARIANCE = DATA.means[0], DATA.variances[0]
LEAST = 0.002


def generator_of(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def exact(baseline: ConsistencyModel, by: float = 0.0, power: float = 0.5) -> Network:
    """F of the exact f, moved by so much of tanh(x); power = 1 has the denoiser's ratio in its place."""

    def net(told: Tensor, x: Tensor) -> Tensor:
        s = (4 * told.double()).exp()
        skip, out, into, _ = (like(c, x) for c in edm_scaling(s, baseline.sigma_data, baseline.least))
        y = x.double() / into
        ratio = ((VARIANCE + baseline.least**2) / (VARIANCE + like(s, x) ** 2)) ** power
        # At the least level any F will do.
        return torch.where(out == 0, 0.0, (MEAN + ratio * (y - MEAN) - skip * y) / out) + by * x.tanh()

    return net


# The loss of github.com/locuslab/ect (training/loss.py, with ECMPrecond of training/networks.py in training), called
# with four images of 2 x 2 pixels x1 = sin k and noise cos 3k, k = 0 ... 15, with ln t = -1.1 + 2 G and the network
# sin(2 x + c_noise). Their stage is a - 1, and the least level of their training is 0; larger a lose their digits.
K = torch.arange(16, dtype=torch.float64).reshape(4, 1, 2, 2)
G = torch.tensor([-1.5, -0.3, 0.4, 1.7], dtype=torch.float64)
PUBLISHED = {
    (0.0, 1): [1.985384225845337, 1.2011646032333374, 0.8569759130477905, 0.02961461991071701],
    (0.0, 3): [1.830549716949463, 1.235974907875061, 0.7005455493927002, 0.020329320803284645],
    (0.03, 1): [0.876537561416626, 1.0481197834014893, 0.8174364566802979, 0.02420566789805889],
    (0.03, 3): [0.5270112752914429, 0.984648585319519, 0.6159301400184631, 0.007440267596393824],
}


@pytest.mark.parametrize(("c", "a"), PUBLISHED)
def test_its_loss_is_that_of_the_public_code(c: float, a: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consistency, "noise", lambda x1, rng: torch.cos(3 * K))
    monkeypatch.setattr(torch, "randn", lambda *shape, **_: G)
    baseline = ConsistencyModel(c=c, least=1e-9, sigma_data=0.5)
    net: Network = lambda told, x: torch.sin(2 * x + like(told, x))  # noqa: E731
    found = baseline.loss(net, Batch(torch.sin(K)), Context(generator_of(0), progress=(a + 0.5) / 9))
    torch.testing.assert_close(found, torch.tensor(PUBLISHED[c, a], dtype=torch.float64), rtol=2e-5, atol=0)


def test_f_is_the_identity_at_the_least_level() -> None:
    y = torch.randn(5, 2, generator=generator_of(0))
    found = ConsistencyModel(sigma_data=0.5).clean(lambda told, x: 100 + x, torch.full((5,), LEAST), y)
    assert torch.equal(found, y)


@pytest.mark.parametrize("c", [0.0, 1.0])
def test_the_exact_function_is_where_the_gradient_of_the_loss_vanishes(c: float) -> None:
    """On Gaussian data, where mean and median agree, and as r nears t; of the denoiser the gradient does not vanish."""
    baseline = ConsistencyModel(c=c, stages=12, std=1.0, sigma_data=1.5)
    x1 = DATA.sample(20_000, generator_of(0))
    slopes: dict[float, tuple[float, float]] = {}
    for power in (0.5, 1.0):

        def moved(by: float, power: float = power) -> Tensor:
            calls: list[int] = []

            def net(told: Tensor, x: Tensor) -> Tensor:
                calls.append(1)  # the teacher is called first, and stays where it is
                return exact(baseline, by if len(calls) == 2 else 0.0, power)(told, x)

            found = baseline.loss(net, Batch(x1), Context(generator_of(1), progress=0.999))
            assert len(calls) == 2
            return found

        slope = (moved(1e-6) - moved(-1e-6)) / 2e-6
        slopes[power] = float(slope.mean()), float(slope.std()) / math.sqrt(len(x1))
    mean, stderr = slopes[0.5]
    assert abs(mean) < 4 * stderr
    mean, stderr = slopes[1.0]
    assert abs(mean) > 20 * stderr


def test_errors_of_the_exact_function_vanish_as_r_nears_t() -> None:
    """|f(., t) - f(., r)| = (t - r) |df/dt|: the loss, divided by t - r, keeps its value from a on."""
    x1 = DATA.sample(500, generator_of(0))
    losses = []
    for stages in (9, 12):
        baseline = ConsistencyModel(stages=stages, sigma_data=0.5)
        losses.append(baseline.loss(exact(baseline), Batch(x1), Context(generator_of(1), progress=0.999)))
    torch.testing.assert_close(losses[0], losses[1], rtol=0.05, atol=0.02)


def test_the_gradient_is_that_of_the_student_alone() -> None:
    """Of f_w = f with F = w told, by hand: d/dw |e| / (t - r) = e . c_out told / (|e| (t - r)), the teacher held."""
    w = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    x1 = DATA.sample(50, generator_of(0))
    at = Context(generator_of(1), progress=0.5)

    def net_of(student: Tensor, teacher: Tensor) -> Network:
        return lambda told, x: (student if torch.is_grad_enabled() else teacher) * torch.tanh(x + like(told, x))

    def loss(net: Network) -> Tensor:
        method = ConsistencyModel(sigma_data=0.5)
        return method.loss(net, Batch(x1), Context(generator_of(1), progress=at.progress)).sum()

    (found,) = torch.autograd.grad(loss(net_of(w, w)), w)
    held, h = w.detach(), 1e-6
    expected = (loss(net_of(held + h, held)) - loss(net_of(held - h, held))) / (2 * h)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    both = (loss(net_of(held + h, held + h)) - loss(net_of(held - h, held - h))) / (2 * h)
    assert abs(float(both / found) - 1) > 0.05


def test_it_begins_as_a_denoiser_without_a_teacher() -> None:
    """At a = 0 the target is x1 + least x0, whatever the network: the loss is that of prediction of the data."""
    module = torch.nn.Linear(2, 2)
    net = CountedNetwork(module)
    call: Network = lambda told, x: net(x)  # noqa: E731
    baseline, x1 = ConsistencyModel(c=0.5, sigma_data=0.5), torch.randn(40, 2, generator=generator_of(0))
    rng = generator_of(1)
    loss = baseline.loss(call, Batch(x1), Context(rng, progress=0.1))
    assert net.rows == 40
    replay = generator_of(1)
    x0 = torch.randn(x1.shape, generator=replay)
    t = LEAST + (-1.1 + 2 * torch.randn(40, generator=replay)).exp()
    error = baseline.clean(call, t, x1 + t[:, None] * x0) - (x1 + LEAST * x0)
    torch.testing.assert_close(loss, (torch.hypot(error.norm(dim=1), torch.tensor(0.5)) - 0.5) / (t - LEAST))
    net.rows = 0
    baseline.loss(call, Batch(x1), Context(rng, progress=0.2))
    assert net.rows == 80


def test_two_equal_levels_have_a_finite_gradient() -> None:
    """Rounding may leave no error at all, where a square root of it has no slope."""
    w = torch.zeros((), requires_grad=True)
    baseline = ConsistencyModel(mean=-60.0, std=0.0, sigma_data=0.5)
    loss = baseline.loss(lambda told, x: w * x, Batch(torch.ones(4, 2)), Context(generator_of(0), progress=0.99))
    (found,) = torch.autograd.grad(loss.sum(), w)
    assert torch.isfinite(loss).all() and torch.isfinite(found)


def test_its_samples_are_those_of_the_exact_function() -> None:
    model = ConsistencyModel(sigma_data=0.5).model(exact(ConsistencyModel(sigma_data=0.5)))
    assert list(model.samplers) == ["consistency-1", "consistency-2", "consistency-4"]
    x0 = torch.randn(20_000, 2, generator=generator_of(0), dtype=torch.float64)
    one = model.samplers["consistency-1"].draw(model, x0, generator_of(1))
    ratio = torch.sqrt((VARIANCE + LEAST**2) / (VARIANCE + 80.0**2))
    y0 = math.sqrt(1 + 80.0**2) * x0
    torch.testing.assert_close(one, (MEAN + ratio * (y0 - MEAN)) / math.sqrt(1 + LEAST**2), rtol=1e-6, atol=1e-6)
    for name in ("consistency-2", "consistency-4"):
        x = model.samplers[name].draw(model, x0, generator_of(1))
        assert ((x.mean(0) - MEAN).abs() < (4 / math.sqrt(20_000) + 0.03) * VARIANCE.sqrt()).all()
        assert ((x.std(0) / VARIANCE.sqrt() - 1).abs() < 4 / math.sqrt(40_000)).all()
    assert model.consistency
    end = torch.ones((), dtype=torch.float64)
    torch.testing.assert_close(model.consistency(end, x0[:5]), x0[:5], rtol=1e-9, atol=1e-9)
    with pytest.raises(NotApplicable, match="where its ODE ends, not its slope"):
        model.having("velocity")


@pytest.mark.parametrize("cls", [ConsistencyModel, EDM])
def test_guidance_of_the_network_is_that_of_what_it_predicts(cls: type[ConsistencyModel | EDM]) -> None:
    """c_skip y and c_out are the same of every class, and the weights w and 1 - w add up to 1."""
    method = cls(sigma_data=0.5)
    torch.manual_seed(0)
    module = mlp((2,), width=8, depth=1, classes=2)
    x, t = torch.randn(6, 2, generator=generator_of(0)), torch.tensor(0.3)
    told = method.model(CountedNetwork(module, labels=torch.arange(6) % 2))
    free = method.model(CountedNetwork(module))
    for capability in ("consistency",) if isinstance(method, ConsistencyModel) else ("data", "velocity"):
        of_told, of_free = (model.having(capability)(t, x) for model in (told, free))
        assert (of_told - of_free).abs().max() > 1e-3
        found = told.having("guidance")(2.5).having(capability)(t, x)
        torch.testing.assert_close(found, of_free + 2.5 * (of_told - of_free), rtol=1e-4, atol=1e-5)
    with pytest.raises(NotApplicable, match="told no class"):
        free.having("guidance")


def test_teacher_and_student_drop_out_the_same_units() -> None:
    kept: list[Tensor] = []

    def net(told: Tensor, x: Tensor) -> Tensor:
        kept.append(torch.nn.functional.dropout(torch.ones_like(x), 0.5))
        return x

    for seed in (0, 1):
        torch.manual_seed(seed)
        ConsistencyModel(sigma_data=0.5).loss(net, Batch(torch.zeros(40, 2)), Context(generator_of(0), progress=0.9))
    assert torch.equal(kept[0], kept[1]) and torch.equal(kept[2], kept[3]) and not torch.equal(kept[0], kept[2])
