"""Closed forms that the tests compare with.

Where data is a mixture sum_k w_k N(m_k, S_k) with diagonal S_k, a Gaussian path x_t = alpha x1 + sigma x0 has

    p_t(x)  = sum_k w_k N(x; alpha m_k, V_k),   V_k = alpha^2 S_k + sigma^2
    u_t(x)  = E[alpha' x1 + sigma' x0 | x_t = x]
            = sum_k r_k(x) [ alpha' m_k + (alpha alpha' S_k + sigma sigma') / V_k (x - alpha m_k) ]

with r_k the posterior probability of component k: the marginal velocity, straight from the regression of jointly
Gaussian variables, with no use of the conversions that are under test.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.config.settings import Likelihood
from bench.datasets.base import Dataset
from bench.evaluation.likelihood import by_route, floor
from bench.evaluation.routes import ByODE
from bench.evaluation.trained import Trained, Way
from bench.evaluation.unfinished import Unfinished
from bench.methods.baseline import Baseline
from bench.methods.density import traces
from bench.methods.flow import FlowBaseline
from bench.methods.model import Draw
from bench.methods.network import Network
from bench.methods.ode import Solver, VelocityField
from bench.methods.paths import Path
from bench.records.records import Measurement


@dataclass(frozen=True)
class GaussianMixture:
    """weights (K,), means (K, D) and variances (K, D), all float64."""

    weights: Tensor
    means: Tensor
    variances: Tensor

    @classmethod
    def single(cls, mean: list[float], variance: list[float]) -> "GaussianMixture":
        return cls(_double([1.0]), _double([mean]), _double([variance]))

    @classmethod
    def pair(cls) -> "GaussianMixture":
        return cls(_double([0.3, 0.7]), _double([[-1.0, 0.5], [1.5, -0.5]]), _double([[0.09, 0.25], [0.16, 0.04]]))

    @classmethod
    def line(cls) -> "GaussianMixture":
        return cls(_double([0.3, 0.7]), _double([[-1.0], [1.5]]), _double([[0.09], [0.16]]))

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        k = torch.multinomial(self.weights, n, replacement=True, generator=rng)
        noise = torch.randn(n, self.means.shape[1], generator=rng, dtype=torch.float64)
        return self.means[k] + self.variances[k].sqrt() * noise

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) of the data, x (B, D)."""
        return self._components(x, _double(1.0), _double(0.0))[0]

    def log_prob_at(self, path: Path, t: Tensor, x: Tensor) -> Tensor:
        """log p_t(x) along the path; here and below t is a scalar or of shape (B,)."""
        return self._components(x, path.alpha(t), path.sigma(t))[0]

    def score(self, path: Path, t: Tensor, x: Tensor) -> Tensor:
        """grad log p_t(x)."""
        _, posterior, centred, variances = self._components(x, path.alpha(t), path.sigma(t))
        return -(posterior[..., None] * centred / variances).sum(1)

    def mean(self, path: Path, t: Tensor, x: Tensor) -> Tensor:
        """E[x1 | x_t = x]."""
        alpha, sigma = path.alpha(t).reshape(-1, 1, 1), path.sigma(t).reshape(-1, 1, 1)
        _, posterior, centred, variances = self._components(x, alpha, sigma)
        return (posterior[..., None] * (self.means + alpha * self.variances / variances * centred)).sum(1)

    def velocity(self, path: Path, t: Tensor, x: Tensor) -> Tensor:
        """The marginal velocity u_t(x)."""
        alpha, sigma, dalpha, dsigma = (
            f(t).reshape(-1, 1, 1) for f in (path.alpha, path.sigma, path.dalpha, path.dsigma)
        )
        _, posterior, centred, variances = self._components(x, alpha, sigma)
        gain = (alpha * dalpha * self.variances + sigma * dsigma) / variances
        return (posterior[..., None] * (dalpha * self.means + gain * centred)).sum(1)

    def _components(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        alpha, sigma = alpha.reshape(-1, 1, 1), sigma.reshape(-1, 1, 1)
        variances = alpha**2 * self.variances + sigma**2
        centred = x[:, None] - alpha * self.means
        logs = -0.5 * (centred.square() / variances + torch.log(2 * math.pi * variances)).sum(-1) + self.weights.log()
        return torch.logsumexp(logs, 1), torch.softmax(logs, 1), centred, variances


def transported(mixture: GaussianMixture, path: Path, x0: Tensor) -> Tensor:
    """Where the ODE of a mixture in one dimension takes x0 (B, 1): a flow on the line keeps quantiles.

    In more dimensions components tell one coordinate of the other, and no coordinate keeps its quantiles.
    """
    assert mixture.means.shape[1] == x0.shape[1] == 1

    def quantile(t: float, x: Tensor) -> Tensor:
        alpha, sigma = path.alpha(_double(t)), path.sigma(_double(t))
        spread = torch.sqrt(alpha**2 * mixture.variances[:, 0] + sigma**2)
        return (mixture.weights * torch.special.ndtr((x - alpha * mixture.means[:, 0]) / spread)).sum(-1, keepdim=True)

    asked = quantile(0.0, x0)
    low, high = torch.full_like(x0, -20.0), torch.full_like(x0, 20.0)
    for _ in range(60):
        middle = (low + high) / 2
        below = quantile(path.t_end, middle) < asked
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def field(mixture: GaussianMixture, path: Path) -> Callable[[Tensor, Tensor], Tensor]:
    """The exact marginal velocity as f(t, x); the states keep their dtype and shape."""
    return lambda t, x: mixture.velocity(path, t.double(), x.double().flatten(1)).to(x).view_as(x)


class Watched:
    """A field that notes the times it is called at."""

    def __init__(self, f: VelocityField) -> None:
        self.f = f
        self.times: list[float] = []

    def __call__(self, t: Tensor, x: Tensor) -> Tensor:
        self.times.append(t.item())
        return self.f(t, x)


def divergence(
    f: VelocityField, t: Tensor, x: Tensor, probes: Tensor | None = None, create_graph: bool = False
) -> tuple[Tensor, Tensor]:
    """v = f(t, x) and its divergence (B,): exact where `probes` is None, else the mean of z^T (dv/dx) z."""
    v, found = traces(f, t, x, probes, create_graph)
    return v, found.mean(0)


def whitened(n: int, dim: int) -> Tensor:
    """n points whose sample mean is 0 and whose sample covariance (over n) is I, so that second moments are exact."""
    x = torch.randn(n, dim, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    x = x - x.mean(0)
    return x @ torch.linalg.inv(torch.linalg.cholesky(x.T @ x / n)).T


def uniform_flow(t: Tensor, x: Tensor) -> Tensor:
    """A field that carries N(0, I) to the uniform density on [-1, 1]^d, with derivative.

    x_t = g_t(x0) = (1 - t) x0 + t erf(x0 / sqrt 2), hence v = erf(x0 / sqrt 2) - x0 at x0 = g_t^-1(x), by bisection.
    """
    s, y = t.double(), x.double()

    def g(z: Tensor) -> Tensor:
        return (1 - s) * z + s * torch.erf(z / math.sqrt(2))

    with torch.no_grad():
        low, high = torch.full_like(y, -9.0), torch.full_like(y, 9.0)
        for _ in range(50):
            middle = (low + high) / 2
            above = g(middle) > y
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        root = (low + high) / 2
        slope = (1 - s) + s * math.sqrt(2 / math.pi) * torch.exp(-root.square() / 2)
    # One Newton step changes nothing of the root and gives it its derivative.
    x0 = root - (g(root) - y) / slope
    return (torch.erf(x0 / math.sqrt(2)) - x0).to(x)


def _double(values: float | list[float] | list[list[float]]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@dataclass(frozen=True)
class Given(FlowBaseline):
    """A method whose velocity field and samplers are given; the field asks the network once, for the count alone."""

    f: VelocityField
    end: float = 1.0
    own: tuple[tuple[str, Draw], ...] = ()

    @property
    def t_end(self) -> float:
        return self.end

    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        raise NotImplementedError

    def velocity(self, net: Network) -> VelocityField:
        def field(t: Tensor, x: Tensor) -> Tensor:
            net(t.expand(len(x)), x)
            return self.f(t, x)

        return field

    def samplers(self, net: Network) -> dict[str, Draw]:
        return dict(self.own)


class Idle(nn.Module):
    """net(t, x) = x."""

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        return x


def trained(
    baseline: Baseline, shape: tuple[int, ...] = (2,), seed: int = 0, module: nn.Module | None = None
) -> Trained:
    """Samples of a method of that shape; points, whatever their number of axes."""
    nothing = torch.zeros(1, *shape)
    return Trained(baseline, module or Idle(), Dataset("none", "1", nothing, nothing), seed, "cpu")


def drawn(trained: Trained, way: Way, n: int, batch: int) -> tuple[Tensor, float]:
    """n samples and their mean NFE."""
    parts = list(trained.batches("test", way, n, batch))
    return torch.cat([part.x for part in parts]), sum(part.nfe * len(part.x) for part in parts) / n


def likelihood(
    trained: Trained, asked: Likelihood, weights: str = "ema", unfinished: Unfinished | None = None
) -> list[Measurement]:
    """What the stage measures by every solver that is asked for, and the floor; an error ends it."""
    solvers = [Solver(**solve.model_dump()) for solve in asked.solvers]
    routes = [ByODE(trained, asked, solver) for solver in solvers]
    rows = [row for route in routes for row in by_route(route, weights, unfinished)]
    return rows + floor(trained.dataset, asked.n)
