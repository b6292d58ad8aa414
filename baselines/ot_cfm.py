"""OT-CFM: Flow Matching between pairs coupled by minibatch optimal transport (Tong et al., TMLR 2024).

L = E |v_t(x_t) - (x1 - x0)|^2,  x_t = (1 - t) x0 + t x1,  (x0, x1) drawn from the optimal plan between two minibatches,
or as `coupling` says (bench/methods/couplings.py); if the network predicts v.
"""

from dataclasses import dataclass, field

from torch import Tensor

from bench import (
    Batch,
    Context,
    CoupledGaussianFlow,
    Coupling,
    Network,
    OptimalTransport,
    mean_square,
    register_baseline,
)


@register_baseline("ot_cfm", label="OT-CFM")
@dataclass(frozen=True)
class OTCFM(CoupledGaussianFlow):
    coupling: Coupling = field(default="exact", kw_only=True)
    interpolant = OptimalTransport()

    def check_options(self) -> None:
        super().check_options()
        if self.prediction == "score" and self.coupling != "independent":
            self.refuse("prediction", f"only independent pairs have a score, not coupling = {self.coupling!r}")

    def loss(self, net: Network, batch: Batch, ctx: Context) -> Tensor:
        t, x0, x1 = self.drawn(net, batch, ctx)
        return mean_square(self.error(net(t, self.interpolant.sample(t, x0, x1)), t, x0, x1))
