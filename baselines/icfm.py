"""I-CFM: Flow Matching around straight lines, with noise of constant deviation sigma (Tong et al., TMLR 2024).

L = E |v_t(x_t) - (x1 - x0)|^2,  x_t = (1 - t) x0 + t x1 + sigma e,  e ~ N(0, I),  (x0, x1) independent or as `coupling`
says, if the network predicts v. Optimal pairs make it OT-CFM with the sigma of its paper.

If x0 ~ N(0, I) is independent of x1, x_t is Gaussian given x1: alpha = t, sigma_t^2 = (1 - t)^2 + sigma^2. The field of
that path is what v learns: (x0, x_t) are jointly Gaussian given x1, so that

    E(x1 - x0 | x_t, x1) = x1 - (1 - t) / sigma_t^2 (x_t - t x1) = x1 + sigma_t' / sigma_t (x_t - t x1) = u_t(x_t | x1),

as sigma_t sigma_t' = -(1 - t). The path starts from N(0, (1 + sigma^2) I), but samples and likelihoods from N(0, I), as
in the paper: deviations are off by about sigma^2, 1% at sigma = 0.1 on data of N(m, 0.3 I).

Other predictions are those of this path, with (x_t - t x1) / sigma_t for the noise.
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor

from bench import (
    Batch,
    Context,
    CoupledGaussianFlow,
    Network,
    OptimalTransport,
    Smoothed,
    like,
    mean_square,
    register_baseline,
    standard_normal,
)


@register_baseline("icfm", label="I-CFM")
@dataclass(frozen=True)
class ICFM(CoupledGaussianFlow):
    sigma: Annotated[float, Field(ge=0, le=1e6)] = 0.1

    def check_options(self) -> None:
        super().check_options()
        if self.prediction != "velocity" and self.coupling != "independent":
            self.refuse("prediction", f"only the velocity of pairs of coupling = {self.coupling!r} can be predicted")

    @property
    def needs_gaussian(self) -> bool:
        return self.prediction != "velocity"

    @property
    def interpolant(self) -> Smoothed:
        return Smoothed(self.sigma)

    def loss(self, net: Network, batch: Batch, ctx: Context) -> Tensor:
        t, x0, x1 = self.drawn(net, batch, ctx)
        x = OptimalTransport().sample(t, x0, x1) + self.sigma * standard_normal(x0, ctx.rng)
        if self.prediction == "velocity":
            return mean_square(net(t, x) - (x1 - x0))
        x0 = (x - like(t, x1) * x1) / like(self.interpolant.sigma(t), x1)
        return mean_square(self.error(net(t, x), t, x0, x1))
