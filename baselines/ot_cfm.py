"""OT-CFM: Flow Matching between pairs coupled by minibatch optimal transport (Tong et al., TMLR 2024).

L = E |v_t(x_t) - (x1 - x0)|^2,  x_t = (1 - t) x0 + t x1,  (x0, x1) drawn from the optimal plan between two minibatches.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench import FlowBaseline, Network, OptimalTransport, VelocityField, mean_square, noise, register_baseline


@register_baseline("ot_cfm", label="OT-CFM")
@dataclass(frozen=True)
class OTCFM(FlowBaseline):
    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        import ot

        path = OptimalTransport()
        t, x0 = path.times(x1, rng), noise(x1, rng)
        cost = torch.cdist(x1.flatten(1), x0.flatten(1)).square().double()
        # Two equal uniform weights: the optimal plan is a permutation.
        x0 = x0[ot.emd([], [], cost).argmax(1)]
        return mean_square(net(t, path.sample(t, x0, x1)) - path.target(t, x0, x1))

    def velocity(self, net: Network) -> VelocityField:
        return lambda t, x: net(t.expand(len(x)), x)
