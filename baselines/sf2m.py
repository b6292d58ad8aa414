"""Score and flow matching of Schroedinger bridges, without simulation (Tong et al., AISTATS 2024).

L = E |v_t(x_t) - u|^2 + |lambda_t f_t(x_t) + e|^2,  x_t = (1 - t) x0 + t x1 + sigma (t (1 - t))^(1/2) e,  e ~ N(0, I),

lambda_t = 2 (t (1 - t))^(1/2) / sigma, u the bridge's velocity (bench/methods/bridge.py), and two networks. f learns
sigma^2 / 2 times the score, the drift that turns the ODE of v into the SDE dx = (v + f) dt + sigma dW, of the same
marginals. Both are drawn from; a step of the SDE evaluates both networks. The plan of the pairs is exact transport,
whose cheapness the paper takes, the entropic one of regularisation 2 sigma^2, or none.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from bench import (
    About,
    Batch,
    BridgeFlow,
    Context,
    Coupling,
    Make,
    Model,
    Positive,
    Sampler,
    VelocityField,
    mean_square,
    register_baseline,
)
from bench.samplers.sde import SDE


@register_baseline("sf2m", label="[SF]²M")
@dataclass(frozen=True)
class SF2M(BridgeFlow):
    sde_steps: Positive = 100
    coupling: Coupling = field(default="drawn", kw_only=True)

    def build(self, make: Make, data: About) -> nn.Module:
        return nn.ModuleDict({part: make.network(**self.inputs(data)) for part in ("flow", "score")})

    def loss(self, net: Any, batch: Batch, ctx: Context) -> Tensor:
        bridge, (t, x0, x1, e) = self.bridge, self.bridges(net, batch, ctx)
        x, weight = bridge.sample(t, x0, x1, e), bridge.weight(t).reshape(-1, *[1] * (x0.dim() - 1))
        flow = mean_square(net["flow"](t, x) - bridge.target(t, x0, x1, e))
        return flow + mean_square(weight * net["score"](t, x) + e)

    def velocity(self, net: Any) -> VelocityField:
        return super().velocity(net["flow"])

    def samplers(self, net: Any) -> dict[str, Sampler]:
        return {f"sde-{self.sde_steps}": SDE(self.sde_steps, diffusion=self.sigma)}

    def model(self, net: Any) -> Model:
        score: VelocityField = lambda t, x: 2 / self.sigma**2 * net["score"](t.expand(len(x)), x)  # noqa: E731
        return replace(super().model(net), score=score)
