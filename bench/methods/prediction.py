"""What a network predicts of x_t = alpha x1 + sigma x0, and the velocity v = E(alpha' x1 + sigma' x0 | x_t) behind it.

velocity  v itself
data      D = E(x1 | x_t):  v = (sigma' / sigma) x + (alpha' - alpha sigma' / sigma) D    (Salimans & Ho, ICLR 2022)
noise     e = E(x0 | x_t):  v = (alpha' / alpha) x + (sigma' - sigma alpha' / alpha) e    (Ho et al., NeurIPS 2020)
score     s = -e / sigma, which is grad log p_t(x) if x0 ~ N(0, I) is independent of x1   (Song et al., ICLR 2021)

Each is the least mean square of its own target. The conversions are linear in x_t, so all but the name of the score
hold for pairs (x0, x1) of any law.

Noise and score do not tell the velocity where alpha = 0, nor data where sigma = 0: there v is 0 / 0. Within MARGIN of
such an end v is that of the time MARGIN away from it, at the same x. The error is that of one Euler step of length
MARGIN, about MARGIN^2 / 2 |dv/dt|. An end counts as such if its coefficient is below VANISHES, which is the case of
straight lines at both ends and of the variance-preserving path at none.

A network that predicts the data makes a stiff ODE near their end. dv/dx has sigma' / sigma there, -1 / (1 - t) on
straight lines and half of that on the variance-preserving path, which goes on to 1 - t = 1e-5. The exact D cancels it,
a learnt one does not, and the steps of an explicit method stay below its inverse. On the checkerboard (an MLP of 4 x 64
after 3,000 steps) dopri5 at 1e-5 took 68, 452, 122 and 56 evaluations of velocity, data, noise and score on the
variance-preserving path, 222 of the 452 beyond t = 0.999, and 38, 134, 68 and 80 on straight lines. Samplers of the
path, such as DPM-Solver++ and exponential integrators, take that term as it is.
"""

from typing import Literal

import torch
from torch import Tensor

from bench.methods.paths import Path, like

Prediction = Literal["velocity", "data", "noise", "score"]
MARGIN, VANISHES = 1e-2, 1e-4


def error(prediction: Prediction, path: Path, t: Tensor, answer: Tensor, x0: Tensor, x1: Tensor) -> Tensor:
    """The answer of the network at x_t less its target, (B, ...); that of a score is weighted by sigma.

    The target is alpha' x1 + sigma' x0, x1, x0 or -x0 / sigma.
    """
    if prediction == "score":
        return like(path.sigma(t), x1) * answer + x0
    if prediction == "velocity":
        return answer - path.target(t, x0, x1)
    return answer - (x1 if prediction == "data" else x0)


def velocity(prediction: Prediction, path: Path, t: Tensor, x: Tensor, answer: Tensor) -> Tensor:
    """The velocity behind an answer of the network at x_t = x (B, ...), for t a scalar or (B,) `within` the path."""
    if prediction == "data":
        return path.velocity_from_data(t, x, answer)
    if prediction == "noise":
        return path.velocity_from_eps(t, x, answer)
    return path.velocity_from_score(t, x, answer) if prediction == "score" else answer


def within(prediction: Prediction, path: Path) -> tuple[float, float]:
    """The first and the last time at which the prediction tells the velocity."""
    first, last = torch.tensor(0.0), torch.tensor(path.t_end)
    from_start = prediction in ("noise", "score") and float(path.alpha(first)) < VANISHES
    to_end = prediction == "data" and float(path.sigma(last)) < VANISHES
    return MARGIN * from_start, path.t_end - MARGIN * to_end
