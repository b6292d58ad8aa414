"""Methods that learn where their ODE leads: the average velocity u between two times t <= r,

    (r - t) u(t, x_t, r) = int_t^r v(s, x_s) ds,    X(t, r, x) = x + (r - t) u(t, x, r),    v(t, x) = u(t, x, t),

on straight conditional paths, x_t = t x1 + (1 - t) x0. One evaluation of X is a sample (Geng et al., NeurIPS 2025;
Frans et al., ICLR 2025).
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from bench.methods.baseline import About, Make
from bench.methods.flow import FlowBaseline
from bench.methods.model import FlowMap, Model
from bench.methods.network import Network
from bench.methods.ode import VelocityField
from bench.methods.paths import OptimalTransport
from bench.methods.sampler import Sampler, of_few_steps
from bench.samplers import flow_map


@dataclass(frozen=True)
class FlowMapBaseline(FlowBaseline):
    """A method whose network net(t, x, r=r) is the average velocity u(t, x, r); t and r have shape (B,)."""

    @property
    def path(self) -> OptimalTransport:
        return OptimalTransport()

    def build(self, make: Make, data: About) -> nn.Module:
        return make.network(second_time=True, **self.inputs(data))

    def velocity(self, net: Network) -> VelocityField:
        return lambda t, x: net(t.expand(len(x)), x, r=t.expand(len(x)))

    def flow_map(self, net: Network) -> FlowMap:
        """X(t, r, x) for scalars t <= r."""

        def jump(t: Tensor, r: Tensor, x: Tensor) -> Tensor:
            return x + (r - t) * net(t.expand(len(x)), x, r=self.told(t, r).expand(len(x)))

        return jump

    def told(self, t: Tensor, r: Tensor) -> Tensor:
        """The second time that the network is told for a step from t to r, of one shape."""
        return r

    def model(self, net: Network) -> Model:
        jump = self.flow_map(net)
        return replace(super().model(net), flow_map=jump, consistency=lambda t, x: jump(t, torch.ones_like(t), x))

    def samplers(self, net: Network) -> dict[str, Sampler]:
        return of_few_steps(flow_map.FlowMap)
