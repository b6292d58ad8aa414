"""The velocity of a Gaussian path in closed form, where the law of the data has one.

With x_t = alpha x1 + sigma x0, x0 ~ N(0, I) and p_t the law of x_t,

    u_t(x) = E(alpha' x1 + sigma' x0 | x_t = x)
           = (alpha' / alpha) x + (sigma' - sigma alpha' / alpha) e,    e = E(x0 | x_t = x) = -sigma grad log p_t(x),

which is what a regression on the path's target, on the noise or on the score has as its minimum: no training along the
path can reach another field that is better.
"""

from torch import Tensor

from bench.datasets.law import Law
from bench.methods.ode import VelocityField
from bench.methods.paths import Path

MARGIN = 1e-5  # where alpha or sigma is 0 the velocity is that of the time so far from it


def marginal_velocity(law: Law, path: Path) -> VelocityField:
    """f(t, x) -> u_t(x) for a scalar t in [0, t_end] and x (B, D), computed in float64."""

    def f(t: Tensor, x: Tensor) -> Tensor:
        t = t.double().clamp(MARGIN, path.t_end - MARGIN)
        alpha, sigma = path.alpha(t), path.sigma(t)
        score = law.blurred(alpha, sigma).score(x.double())
        return path.velocity_from_score(t, x.double(), score).to(x)

    return f
