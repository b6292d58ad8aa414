"""Regression: the mean image under what it is given, the baseline of super-resolution (Saharia et al. 2021).

L = E |net(0, 0) - x1|^2: without noise the network answers E[x1 | c], and one evaluation is a sample.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench import Baseline, Model, Network, mean_square, register_baseline


@register_baseline("regression", label="Regression", needs_given=True)
@dataclass(frozen=True)
class Regression(Baseline):
    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        return mean_square(answer(net, x1) - x1)

    def model(self, net: Network) -> Model:
        why = "regression answers one image, without a distribution"
        samplers = {"direct": lambda x0, rng: answer(net, x0)}
        return Model(samplers=samplers, absent={"velocity": why, "log_prob": why})


def answer(net: Network, x: Tensor) -> Tensor:
    """What the network makes of no noise at all, of the shape of x."""
    return net(x.new_zeros(len(x)), torch.zeros_like(x))
