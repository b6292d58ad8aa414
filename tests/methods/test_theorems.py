"""The three theorems of Lipman et al. 2023, numerically, on the code that the baselines train with.

Data is a few weighted points x1_i, so that every expectation over data is a finite sum.
"""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from baselines.fm_ot import FlowMatchingOT
from bench.methods.paths import OptimalTransport, Path, VariancePreserving

PATHS: list[Path] = [OptimalTransport(0.1), VariancePreserving()]


def log_conditional(path: Path, t: Tensor, x: Tensor, data: Tensor) -> Tensor:
    """log p_t(x | x1_i), x (B, D) and data (N, D) -> (B, N)."""
    sigma = path.sigma(t)
    squares = (x[:, None] - path.alpha(t) * data).square().sum(-1)
    return -squares / (2 * sigma**2) - x.shape[1] * torch.log(math.sqrt(2 * math.pi) * sigma)


def marginal(path: Path, t: Tensor, x: Tensor, data: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """p_t(x) (B,) and u_t(x) = sum_i w_i p_t(x | x1_i) u_t(x | x1_i) / p_t(x), (B, D): equation 8 of the paper."""
    logs = log_conditional(path, t, x, data) + weights.log()
    fields = torch.stack([path.conditional_velocity(t, x, x1.expand_as(x)) for x1 in data], 1)
    return torch.logsumexp(logs, 1).exp(), (torch.softmax(logs, 1)[..., None] * fields).sum(1)


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_theorem_1_the_marginal_field_generates_the_marginal_path(path: Path, rng: torch.Generator) -> None:
    """Continuity: dp_t/dt + div(p_t u_t) = 0 wherever there is mass."""
    data = torch.tensor([[-1.0, 0.5], [1.5, -0.5], [0.0, 2.0]], dtype=torch.float64)
    weights = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    for time in (0.1, 0.5, 0.8, 0.95):
        t = torch.tensor(time, dtype=torch.float64, requires_grad=True)
        i = torch.multinomial(weights, 60, replacement=True, generator=rng)
        x0 = torch.randn(60, 2, generator=rng, dtype=torch.float64)
        x = path.sample(t.detach(), x0, data[i]).requires_grad_()
        p, u = marginal(path, t, x, data, weights)
        flux = p[:, None] * u
        div = sum(torch.autograd.grad(flux[:, k].sum(), x, retain_graph=True)[0][:, k] for k in range(2))
        dp = torch.stack([torch.autograd.grad(value, t, retain_graph=True)[0] for value in p])
        assert dp.abs().max() > 1e-3
        torch.testing.assert_close(dp, -div, rtol=1e-8, atol=1e-10 * float(dp.abs().max()))


class Tiny(nn.Module):
    """A network of one hidden layer, in double precision."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)).double()

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        return self.layers(torch.cat([t.expand(len(x))[:, None].double(), x], 1))


DATA = torch.tensor([[-1.0], [2.0]], dtype=torch.float64)
WEIGHTS = torch.tensor([0.4, 0.6], dtype=torch.float64)


def gradient(net: nn.Module, loss: Tensor) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(net.parameters()))])


def flow_matching_loss(path: Path, net: nn.Module, nodes: int = 24) -> Tensor:
    """E |v_t(x) - u_t(x)|^2 over t ~ U and x ~ p_t, by Gauss-Legendre in t and trapezia in x."""
    x = torch.linspace(-15, 15, 6001, dtype=torch.float64)[:, None]
    loss = torch.zeros((), dtype=torch.float64)
    for t, w in legendre(nodes):
        p, u = marginal(path, t, x, DATA, WEIGHTS)
        loss = loss + w * torch.trapezoid(p * (net(t, x) - u).square()[:, 0], x[:, 0])
    return loss


def conditional_loss(path: Path, net: nn.Module, nodes: int = 24) -> Tensor:
    """E |v_t(psi_t(x0)) - d psi_t(x0) / dt|^2 over t, x1 and x0, by Gauss-Legendre in t and Gauss-Hermite in x0."""
    points, weights = np.polynomial.hermite_e.hermegauss(80)
    x0, w0 = torch.from_numpy(points)[:, None], torch.from_numpy(weights / weights.sum())
    loss = torch.zeros((), dtype=torch.float64)
    for t, w in legendre(nodes):
        for x1, share in zip(DATA, WEIGHTS, strict=True):
            x1 = x1.expand_as(x0)
            error = net(t, path.sample(t, x0, x1)) - path.target(t, x0, x1)
            loss = loss + w * share * (w0 * error.square()[:, 0]).sum()
    return loss


def legendre(nodes: int) -> list[tuple[Tensor, float]]:
    points, weights = np.polynomial.legendre.leggauss(nodes)
    return [(torch.tensor((p + 1) / 2), w / 2) for p, w in zip(points, weights, strict=True)]


@pytest.mark.parametrize("path", PATHS[:2], ids=str)
def test_theorem_2_both_losses_have_the_same_gradient(path: Path) -> None:
    net = Tiny()
    matching, conditional = flow_matching_loss(path, net), conditional_loss(path, net)
    # They differ by the variance of u_t(x | x1) given x, which no network can lower.
    assert (conditional - matching).item() > 0.1
    g = gradient(net, matching)
    assert g.abs().max() > 0.01
    torch.testing.assert_close(gradient(net, conditional), g, rtol=1e-6, atol=1e-8)


def test_theorem_2_holds_for_the_loss_that_a_baseline_trains_on() -> None:
    """The Monte Carlo gradient of fm_ot agrees with the gradient of Flow Matching within its standard error."""
    path, net = OptimalTransport(0.1), Tiny()
    exact = gradient(net, flow_matching_loss(path, net))
    rng = torch.Generator().manual_seed(0)
    estimates = []
    for _ in range(100):
        x1 = DATA[torch.multinomial(WEIGHTS, 500, replacement=True, generator=rng)]
        estimates.append(gradient(net, FlowMatchingOT(sigma_min=0.1).loss(net, x1, rng).mean()))
    g = torch.stack(estimates)
    stderr = g.std(0) / 10
    assert (stderr < 0.05 * exact.abs().max()).all()
    assert ((g.mean(0) - exact).abs() < 4.5 * stderr).all()


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_theorem_3_the_conditional_field_is_the_derivative_of_its_flow(path: Path, rng: torch.Generator) -> None:
    x0, x1 = torch.randn(2, 20, 2, generator=rng, dtype=torch.float64)
    for time in (0.05, 0.5, 0.99):
        t = torch.full((20,), time, dtype=torch.float64, requires_grad=True)
        x = path.sample(t, x0, x1)
        velocity = torch.stack([torch.autograd.grad(x[:, k].sum(), t, retain_graph=True)[0] for k in range(2)], 1)
        u = path.conditional_velocity(t, x, x1)
        torch.testing.assert_close(u, velocity, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(path.target(t, x0, x1), velocity, rtol=1e-8, atol=1e-8)
