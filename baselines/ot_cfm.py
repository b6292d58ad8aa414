"""OT-CFM: Flow Matching between pairs coupled by minibatch optimal transport (Tong et al., TMLR 2024).

L = E |v_t(x_t) - (x1 - x0)|^2,  x_t = (1 - t) x0 + t x1,  (x0, x1) drawn from the optimal plan between two minibatches.

Where x1 is given c, noise that were chosen by x1 alone would tell c, and samples start from noise that does not. Then
the plan is between (x0, c) and (x1, c), at the cost |x1 - x0|^2 + w |c1 - c0|^2 (Kerrigan et al. 2024): the larger w,
the less does x0 tell c.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench import (
    Batch,
    Context,
    FlowBaseline,
    Network,
    OptimalTransport,
    VelocityField,
    mean_square,
    noise,
    register_baseline,
)


@register_baseline("ot_cfm", label="OT-CFM")
@dataclass(frozen=True)
class OTCFM(FlowBaseline):
    given_weight: float = 100.0  # w

    def loss(self, net: Network, batch: Batch, ctx: Context) -> Tensor:
        path, x1 = OptimalTransport(), batch.x
        t, x0 = path.times(x1, ctx.rng), noise(x1, ctx.rng)
        x0 = self.coupled(x0, x1, batch.given)
        return mean_square(net(t, path.sample(t, x0, x1)) - path.target(t, x0, x1))

    def coupled(self, x0: Tensor, x1: Tensor, given: Tensor | None) -> Tensor:
        """The rows of x0 in the order of the rows of x1 that the plan brings them to."""
        import ot

        cost = torch.cdist(x1.flatten(1), x0.flatten(1)).square().double()
        if given is not None:
            c = given.flatten(1)
            cost += self.given_weight * torch.cdist(c, c).square().double()
        # Two equal uniform weights: the optimal plan is a permutation.
        return x0[ot.emd([], [], cost).argmax(1)]

    def velocity(self, net: Network) -> VelocityField:
        return lambda t, x: net(t.expand(len(x)), x)
