"""Reflow: a flow trained on the pairs that another flow makes, whose paths are straighter (Liu et al., ICLR 2023).

L = |v(t, x_t) - (z1 - x0)|^2,  x_t = t z1 + (1 - t) x0,  z1 where the teacher's ODE leads from x0.

`rounds` times the averaged flow becomes the teacher. With no `teacher` the first of rounds + 1 equal shares of the
budget is Flow Matching, z1 = x1, so that the whole training is comparable with another method's; with one, the budget
is `rounds` shares, and the first is taught by it. The flow goes on from its weights. Pairs are made on line: every
`reuse`-th noise is led through `steps` of the solver, for `reuse` times t.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bench import (
    Batch,
    Context,
    OptimalTransport,
    Positive,
    Solver,
    TimedFlow,
    VelocityField,
    copy_weights,
    led,
    mean_square,
    noise,
    register_baseline,
)


@register_baseline("reflow", label="Reflow")
@dataclass(frozen=True)
class Reflow(TimedFlow):
    teacher: str = ""
    rounds: Positive = 1
    reuse: Positive = 16
    solver: Literal["euler", "midpoint", "heun2", "heun3", "rk4"] = "midpoint"
    steps: Positive = 16
    interpolant = OptimalTransport()

    def build(self, make: Any, data: Any) -> nn.Module:
        parts = {"flow": make.network(**self.inputs(data))}
        if self.teacher:
            parts["teacher"] = make.pretrained(self.teacher, **self.inputs(data))
        if self.rounds > 1 or not self.teacher:
            parts["last"] = make.network(**self.inputs(data)).eval().requires_grad_(False)
        module = nn.ModuleDict(parts)
        module.register_buffer("share", torch.tensor(0))  # of the budget, that `last` is the teacher of
        return module

    def loss(self, net: Any, batch: Batch, ctx: Context) -> Tensor:
        path, shares = self.interpolant, self.rounds + (not self.teacher)
        share = min(int(ctx.progress * shares), shares - 1)
        if share and int(net.module.share) < share:
            average: Any = ctx.average
            copy_weights(average["flow"].module, net["last"].module)
            net.module.share.fill_(share)
        t, x0, z1 = self.draw_times(batch.x, ctx.rng), noise(batch.x, ctx.rng), batch.x
        rows = torch.arange(len(t), device=t.device)
        if share or self.teacher:
            teacher, taught = net["last" if share else "teacher"], rows[:: self.reuse]
            z1 = led(teacher.of(taught), x0[taught], Solver(self.solver, steps=self.steps))[rows // self.reuse]
            rows -= rows % self.reuse
        x0, flow = x0[rows], net["flow"].of(rows)
        return mean_square(flow(t, path.sample(t, x0, z1)) - path.target(t, x0, z1))

    def velocity(self, net: Any) -> VelocityField:
        return super().velocity(net["flow"])
