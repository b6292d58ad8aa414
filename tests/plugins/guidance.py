"""Flow Matching with classes and classifier-free guidance (Ho & Salimans 2022; Zheng et al. 2023).

L = |v(t, x_t, c) - (x1 - x0)|^2, c left out of every tenth sample;  the field is v(., no c) + w (v(., c) - v(., no c)).
"""

from dataclasses import dataclass

import torch

from bench import FlowBaseline, NotApplicable, OptimalTransport, mean_square, noise, register_baseline

NO_CLASS = -1


@register_baseline("guidance", label="FM w/ guidance")
@dataclass(frozen=True)
class GuidedFlowMatching(FlowBaseline):
    weight: float = 2.0
    left_out: float = 0.1
    path = OptimalTransport()

    def build(self, make, data):
        if not data.classes:
            raise NotApplicable("guidance needs data with classes")
        return make.network(classes=data.classes)

    def loss(self, net, batch, ctx):
        t, x0 = self.path.times(batch.x, ctx.rng), noise(batch.x, ctx.rng)
        out = torch.rand(len(x0), generator=ctx.rng, device=x0.device) < self.left_out
        labels = torch.where(out, NO_CLASS, batch.labels)
        answer = net(t, self.path.sample(t, x0, batch.x), labels=labels)
        return mean_square(answer - self.path.target(t, x0, batch.x))

    def velocity(self, net):
        def guided(t, x):
            t = t.expand(len(x))
            free = net(t, x, labels=None)
            return free + self.weight * (net(t, x) - free)

        return guided
