"""Regression: the mean image under what it is given, the baseline of super-resolution (Saharia et al. 2021).

L = E |net(0, 0) - x1|^2: without noise the network answers E[x1 | c], and one evaluation is a sample. Its flow carries
noise to that answer in straight lines, v = (net(0, 0) - x) / (1 - t), which no solver needs many evaluations for.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench import Draw, FlowBaseline, Network, mean_square, register_baseline
from bench.methods.ode import VelocityField


@register_baseline("regression", label="Regression", needs_given=True)
@dataclass(frozen=True)
class Regression(FlowBaseline):
    @property
    def t_end(self) -> float:
        return 1 - 1e-5

    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        return mean_square(answer(net, x1) - x1)

    def velocity(self, net: Network) -> VelocityField:
        return lambda t, x: (answer(net, x) - x) / (1 - t)

    def samplers(self, net: Network) -> dict[str, Draw]:
        return {"direct": lambda x0, rng: answer(net, x0)}


def answer(net: Network, x: Tensor) -> Tensor:
    """What the network makes of no noise at all, of the shape of x."""
    return net(x.new_zeros(len(x)), torch.zeros_like(x))
