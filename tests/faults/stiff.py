"""A method whose field is stiff: coarse fixed steps blow up, adaptive ones do not."""

from dataclasses import dataclass

from bench.methods.baseline import register_baseline
from bench.methods.flow import FlowBaseline, mean_square, noise
from bench.methods.paths import OptimalTransport


@register_baseline("stiff", label="Stiff flow")
@dataclass(frozen=True)
class Stiff(FlowBaseline):
    rate: float = 4000.0
    path = OptimalTransport()

    def loss(self, net, x1, rng):
        t, x0 = self.path.times(x1, rng), noise(x1, rng)
        return mean_square(net(t, self.path.sample(t, x0, x1)) - self.path.target(t, x0, x1))

    def velocity(self, net):
        return lambda t, x: net(t.expand(len(x)), x) - self.rate * t * (x**3) / 50
