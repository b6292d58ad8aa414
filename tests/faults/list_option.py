from dataclasses import dataclass

import torch
from torch import nn

from bench.config.registry import register_dataset, register_network
from bench.datasets.base import Dataset
from bench.methods.baseline import register_baseline
from bench.methods.flow import FlowBaseline, mean_square, noise
from bench.methods.paths import OptimalTransport


@register_dataset("centres")
def centres(data_dir, means: list[list[float]] = [[0.0, 0.0], [2.0, 2.0]], std: float = 0.3):  # noqa: B006
    g = torch.Generator().manual_seed(0)
    m = torch.tensor(means)

    def draw(n):
        return m[torch.randint(len(m), (n,), generator=g)] + std * torch.randn(n, m.shape[1], generator=g)

    return Dataset(name="centres", version="1", train=draw(2000), test=draw(300))


@register_dataset("lab/run 1")
def slash(data_dir):
    g = torch.Generator().manual_seed(0)
    return Dataset(
        name="lab/run 1", version="1", train=torch.randn(2000, 2, generator=g), test=torch.randn(300, 2, generator=g)
    )


class BN(nn.Module):
    def __init__(self, d, width):
        super().__init__()
        self.f = nn.Sequential(
            nn.Linear(d + 1, width),
            nn.BatchNorm1d(width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.BatchNorm1d(width),
            nn.SiLU(),
            nn.Linear(width, d),
        )

    def forward(self, t, x):
        return self.f(torch.cat([x, t[:, None]], 1))


@register_network("bn")
def bn(shape, width: int = 32):
    return BN(shape[0], width)


@register_baseline("fm/ot", label="FM slash")
@dataclass(frozen=True)
class S(FlowBaseline):
    path = OptimalTransport()

    def loss(self, net, x1, rng):
        t, x0 = self.path.times(x1, rng), noise(x1, rng)
        return mean_square(net(t, self.path.sample(t, x0, x1)) - self.path.target(t, x0, x1))
