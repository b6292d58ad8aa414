"""A method whose own sampler now and then gives NaN, and a table with missing values as a dataset."""

from dataclasses import dataclass

import torch

from bench.config.registry import register_dataset
from bench.datasets.base import Dataset
from bench.methods.baseline import register_baseline
from bench.methods.flow import FlowBaseline, mean_square, noise
from bench.methods.paths import OptimalTransport


@register_dataset("measured")
def measured(data_dir):
    g = torch.Generator().manual_seed(0)
    train, test = torch.randn(2000, 2, generator=g), torch.randn(500, 2, generator=g)
    test[150, 1] = float("nan")  # a missing value in row 150 of the test table
    return Dataset(name="measured", version="1", train=train, test=test)


@register_baseline("mine", label="My sampler")
@dataclass(frozen=True)
class Mine(FlowBaseline):
    path = OptimalTransport()

    def loss(self, net, x1, rng):
        t, x0 = self.path.times(x1, rng), noise(x1, rng)
        return mean_square(net(t, self.path.sample(t, x0, x1)) - self.path.target(t, x0, x1))

    def samplers(self, net):
        def sample(x, rng):
            x = x + net(x.new_zeros(len(x)), x)
            return torch.where(x > 1.5, x / 0 * 0, x)  # 0/0 somewhere: NaN

        return {"one-step": sample}
