"""The checkerboard from a source with heavy tails: x0 of independent Laplace variables of variance 1.

p(x0) = prod_i exp(-|x0_i| / b) / (2 b),  b = 1 / sqrt(2);  any method that draws x0 by `noise` learns to start there.
"""

import math
from dataclasses import replace

import torch

from bench import register_dataset
from bench.config.registry import datasets

B = 1 / math.sqrt(2)


class Laplace:
    """A source (bench/datasets/source.py) of points of the plane."""

    def draws(self, n, rng):
        u = torch.rand(n, 2, generator=rng, device=rng.device).clamp(1e-6, 1 - 1e-6) - 0.5
        return -B * u.sign() * torch.log1p(-2 * u.abs())

    def draw(self, rng):
        return self.draws(1, rng)[0]

    def log_prob(self, x0):
        return -(x0.abs() / B + math.log(2 * B)).sum(1)


@register_dataset("checkerboard_from_laplace")
def checkerboard_from_laplace(data_dir, n_train: int = 4096, n_test: int = 1000):
    """The checkerboard, whose paths start from a Laplace law."""
    data = datasets["checkerboard"](data_dir, n_train, n_test)
    return replace(data, name="checkerboard_from_laplace", source=Laplace())
