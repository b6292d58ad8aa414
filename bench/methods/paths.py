"""Gaussian probability paths p_t(x | x1) = N(alpha_t x1, sigma_t^2 I), from noise at t = 0 to data at t = 1.

A path is fixed by alpha, sigma and their time derivatives. With x0 ~ N(0, I), x_t = alpha_t x1 + sigma_t x0 and

    u_t(x | x1) = (sigma'_t / sigma_t) (x - alpha_t x1) + alpha'_t x1        (Lipman et al. 2023, theorem 3)
                = alpha'_t x1 + sigma'_t x0                                  along x_t.

Eliminating x1 turns a predicted noise eps or score = -eps / sigma_t into the velocity of the same path:

    v_t(x) = (alpha'_t / alpha_t) x + (sigma'_t - sigma_t alpha'_t / alpha_t) eps.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, is_dataclass

import torch
from torch import Tensor

BISECTIONS = 60


def like(a: Tensor, x: Tensor) -> Tensor:
    """Append axes to `a`, a scalar or of shape (B,), so that it multiplies x of shape (B, ...)."""
    return a.reshape(a.shape + (1,) * (x.dim() - a.dim())) if a.dim() else a


def time_of_level(path: "Path", s: Tensor, t_end: float) -> Tensor:
    """Where the path's noise sigma / alpha, which falls with time, is s; by bisection in [0, t_end]."""
    low, high = torch.zeros_like(s), torch.full_like(s, t_end)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        above = path.sigma(middle) / path.alpha(middle) > s
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return (low + high) / 2


class Path(ABC):
    """alpha_t and sigma_t with their derivatives; t is a scalar or of shape (B,), in [0, t_end]."""

    t_end: float = 1.0
    kind = ""  # what the path is called, by default by its class

    @property
    def title(self) -> str:
        """ "OT" or "OT, sigma_min = 0.1": with the parameters, of a dataclass, that are not its defaults."""
        usual: dict[str, object] = {each.name: each.default for each in fields(self)} if is_dataclass(self) else {}
        mine = {name: getattr(self, name) for name in usual}
        other = [f"{name} = {value}" for name, value in mine.items() if value != usual[name]]
        return ", ".join([self.kind or type(self).__name__, *other])

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """Coefficient of the data."""

    @abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """Standard deviation of the noise."""

    @abstractmethod
    def dalpha(self, t: Tensor) -> Tensor:
        """Time derivative of alpha."""

    @abstractmethod
    def dsigma(self, t: Tensor) -> Tensor:
        """Time derivative of sigma."""

    def sample(self, t: Tensor, x0: Tensor, x1: Tensor) -> Tensor:
        """x_t = alpha_t x1 + sigma_t x0, the conditional flow psi_t applied to x0."""
        return like(self.alpha(t), x1) * x1 + like(self.sigma(t), x0) * x0

    def target(self, t: Tensor, x0: Tensor, x1: Tensor) -> Tensor:
        """d x_t / dt = alpha'_t x1 + sigma'_t x0, what Conditional Flow Matching regresses on."""
        return like(self.dalpha(t), x1) * x1 + like(self.dsigma(t), x0) * x0

    def conditional_velocity(self, t: Tensor, x: Tensor, x1: Tensor) -> Tensor:
        """u_t(x | x1), the field that generates p_t(x | x1)."""
        mean = like(self.alpha(t), x1) * x1
        return like(self.dsigma(t) / self.sigma(t), x) * (x - mean) + like(self.dalpha(t), x1) * x1

    def velocity_from_eps(self, t: Tensor, x: Tensor, eps: Tensor) -> Tensor:
        """Velocity of the path from a noise prediction."""
        ratio = self.dalpha(t) / self.alpha(t)
        return like(ratio, x) * x + like(self.dsigma(t) - self.sigma(t) * ratio, x) * eps

    def eps_from_velocity(self, t: Tensor, x: Tensor, v: Tensor) -> Tensor:
        """The predicted noise behind a velocity: eps = (alpha v - alpha' x) / (alpha sigma' - alpha' sigma)."""
        alpha, sigma, dalpha, dsigma = self.alpha(t), self.sigma(t), self.dalpha(t), self.dsigma(t)
        return (like(alpha, x) * v - like(dalpha, x) * x) / like(alpha * dsigma - dalpha * sigma, x)

    def data_from_velocity(self, t: Tensor, x: Tensor, v: Tensor) -> Tensor:
        """The predicted data behind a velocity: E(x1 | x) = (sigma' x - sigma v) / (alpha sigma' - alpha' sigma)."""
        alpha, sigma, dalpha, dsigma = self.alpha(t), self.sigma(t), self.dalpha(t), self.dsigma(t)
        return (like(dsigma, x) * x - like(sigma, x) * v) / like(alpha * dsigma - dalpha * sigma, x)

    def velocity_from_data(self, t: Tensor, x: Tensor, data: Tensor) -> Tensor:
        """Velocity of the path from a prediction of the data: (sigma'/sigma) x + (alpha' - alpha sigma'/sigma) data."""
        ratio = self.dsigma(t) / self.sigma(t)
        return like(ratio, x) * x + like(self.dalpha(t) - self.alpha(t) * ratio, x) * data

    def velocity_from_score(self, t: Tensor, x: Tensor, score: Tensor) -> Tensor:
        """Velocity of the path from grad log p_t(x)."""
        return self.velocity_from_eps(t, x, -like(self.sigma(t), x) * score)

    def times(self, x1: Tensor, rng: torch.Generator) -> Tensor:
        """One t ~ U[0, t_end] a sample, shape (B,)."""
        u = torch.rand(len(x1), generator=rng, device=x1.device)
        return u if self.t_end == 1 else u * self.t_end

    def at_level(self, s: Tensor) -> Tensor:
        """The time in [0, t_end] at which sigma / alpha = s, of the shape of s; an end if s lies beyond it."""
        return time_of_level(self, s, self.t_end)


@dataclass(frozen=True)
class OptimalTransport(Path):
    """alpha = t, sigma = 1 - (1 - sigma_min) t: straight lines at constant speed."""

    kind = "OT"

    sigma_min: float = 0.0

    def alpha(self, t: Tensor) -> Tensor:
        return t

    def sigma(self, t: Tensor) -> Tensor:
        return 1 - (1 - self.sigma_min) * t

    def dalpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def dsigma(self, t: Tensor) -> Tensor:
        return torch.full_like(t, self.sigma_min - 1)

    def sample(self, t: Tensor, x0: Tensor, x1: Tensor) -> Tensor:
        """x0 + t u."""
        return torch.addcmul(x0, like(t, x0), self.target(t, x0, x1))

    def target(self, t: Tensor, x0: Tensor, x1: Tensor) -> Tensor:
        """u = x1 - (1 - sigma_min) x0, whatever the time."""
        return x1 - ((1 - self.sigma_min) * x0 if self.sigma_min else x0)

    def at_level(self, s: Tensor) -> Tensor:
        """t = 1 / (s + 1 - sigma_min)."""
        return (1 / (s + 1 - self.sigma_min)).clamp(0.0, 1.0)


@dataclass(frozen=True)
class Smoothed(Path):
    """alpha = t, sigma^2 = (1 - t)^2 + s^2: straight lines with independent noise of deviation s around them."""

    kind = "smoothed"

    s: float = 0.1

    def alpha(self, t: Tensor) -> Tensor:
        return t

    def sigma(self, t: Tensor) -> Tensor:
        return torch.sqrt((1 - t).square() + self.s**2)

    def dalpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def dsigma(self, t: Tensor) -> Tensor:
        return (t - 1) / self.sigma(t) if self.s else -torch.ones_like(t)


@dataclass(frozen=True)
class Trigonometric(Path):
    """alpha = sin(pi t / 2), sigma = cos(pi t / 2)."""

    kind = "trigonometric"

    def alpha(self, t: Tensor) -> Tensor:
        return torch.sin(torch.pi / 2 * t)

    def sigma(self, t: Tensor) -> Tensor:
        return torch.cos(torch.pi / 2 * t)

    def dalpha(self, t: Tensor) -> Tensor:
        return torch.pi / 2 * self.sigma(t)

    def dsigma(self, t: Tensor) -> Tensor:
        return -torch.pi / 2 * self.alpha(t)

    def at_level(self, s: Tensor) -> Tensor:
        """tan(pi t / 2) = 1 / s."""
        return 1 - 2 / torch.pi * torch.atan(s)


@dataclass(frozen=True)
class VariancePreserving(Path):
    """The VP diffusion of Song et al. 2021 run backwards: with s = 1 - t,

    T(s) = beta_min s + (beta_max - beta_min) s^2 / 2,  alpha = exp(-T / 2),  sigma^2 = 1 - exp(-T).

    sigma' is infinite at t = 1, so t stops at t_end.
    """

    kind = "VP"

    beta_min: float = 0.1
    beta_max: float = 20.0
    t_end: float = 1 - 1e-5

    def beta(self, t: Tensor) -> Tensor:
        """beta(s) = T'(s) at s = 1 - t."""
        return self.beta_min + (self.beta_max - self.beta_min) * (1 - t)

    def integral(self, t: Tensor) -> Tensor:
        """T(1 - t)."""
        s = 1 - t
        return self.beta_min * s + (self.beta_max - self.beta_min) * s**2 / 2

    def likelihood_times(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """u ~ U[0, 1] -> t with density beta / (sigma^2 Z) on [0, t_end], and Z = int beta / sigma^2 dt.

        The integral of beta / sigma^2 = T' / (1 - e^-T) is y = log(e^T - 1): y is uniform, T = log(1 + e^y), and s
        solves the quadratic T(s) = T (Song et al., NeurIPS 2021, appendix).
        """
        slope = self.beta_max - self.beta_min
        low, high = (math.log(math.expm1(self.beta_min * s + slope * s**2 / 2)) for s in (1 - self.t_end, 1.0))
        big_t = torch.nn.functional.softplus(low + (high - low) * u)
        return self._time(big_t), torch.full_like(u, high - low)

    def at_level(self, s: Tensor) -> Tensor:
        """T = log(1 + s^2)."""
        return self._time(torch.log1p(s.square()))

    def _time(self, big_t: Tensor) -> Tensor:
        """t at which T(1 - t) is that, by the root of its quadratic that does not cancel for small T."""
        slope = self.beta_max - self.beta_min
        s = 2 * big_t / (self.beta_min + torch.sqrt(self.beta_min**2 + 2 * slope * big_t))
        return (1 - s).clamp(0.0, self.t_end)

    def alpha(self, t: Tensor) -> Tensor:
        return torch.exp(-self.integral(t) / 2)

    def sigma(self, t: Tensor) -> Tensor:
        return torch.sqrt(-torch.expm1(-self.integral(t)))

    def dalpha(self, t: Tensor) -> Tensor:
        return self.alpha(t) * self.beta(t) / 2

    def dsigma(self, t: Tensor) -> Tensor:
        return -torch.exp(-self.integral(t)) * self.beta(t) / (2 * self.sigma(t))
