"""MeanFlow (Geng et al., NeurIPS 2025): the average velocity between two times, whose one evaluation is a sample.

L = |u(t, x_t, r) - sg(v + (r - t) d/dt u(t, x_t, r))|^2,  x_t = t x1 + (1 - t) x0,  v = x1 - x0,  t <= r,

where d/dt = v d/dx + d/dt along the path; then x_r = x_t + (r - t) u(t, x_t, r).
"""

from dataclasses import dataclass

import torch
from torch.func import jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

from bench import FlowBaseline, OptimalTransport, like, mean_square, noise, register_baseline


@register_baseline("meanflow", label="MeanFlow")
@dataclass(frozen=True)
class MeanFlow(FlowBaseline):
    instants: float = 0.5
    path = OptimalTransport()

    def build(self, make, data):
        return make.network(second_time=True)

    def loss(self, net, batch, ctx):
        x0 = noise(batch.x, ctx.rng)
        times = torch.rand(2, len(x0), generator=ctx.rng, device=x0.device).sort(0).values
        equal = torch.rand(len(x0), generator=ctx.rng, device=x0.device) < self.instants
        t, r = torch.where(equal, times[1], times[0]), times[1]
        x, v = self.path.sample(t, x0, batch.x), batch.x - x0
        with sdpa_kernel(SDPBackend.MATH):  # fused attention has no derivative forwards
            u, slope = jvp(lambda t, x: net(t, x, r=r), (t, x), (torch.ones_like(t), v))
        return mean_square(u - (v + like(r - t, x) * slope).detach())

    def velocity(self, net):
        return lambda t, x: net(t.expand(len(x)), x, r=t.expand(len(x)))

    def samplers(self, net):
        return {"one-step": lambda x0, rng: x0 + net(x0.new_zeros(len(x0)), x0, r=x0.new_ones(len(x0)))}
