"""Methods that regress on x_t = alpha x1 + sigma x0: what the network predicts, and the law of t, are their options.

@register_baseline("fm_ot", label="FM w/ OT")
@dataclass(frozen=True)
class FlowMatchingOT(GaussianFlow):
    path = OptimalTransport()

    def loss(self, net, x1, rng):
        t, x0 = self.draw_times(x1, rng), noise(x1, rng)
        return mean_square(self.error(net(t, self.path.sample(t, x0, x1)), t, x0, x1))
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.methods import prediction, times
from bench.methods.flow import FlowBaseline, field_of
from bench.methods.network import Network
from bench.methods.ode import VelocityField
from bench.methods.paths import Path
from bench.methods.prediction import Prediction
from bench.methods.times import Times


@dataclass(frozen=True, kw_only=True)
class GaussianFlow(FlowBaseline):
    """A flow whose network predicts the velocity, the data, the noise or the score (bench/methods/prediction.py).

    Attributes:
        prediction: what the network gives; the loss is the mean square of its error.
        times: law of t in the loss (bench/methods/times.py).
    """

    prediction: Prediction = "velocity"
    times: Times = "uniform"

    @property
    def needs_gaussian(self) -> bool:
        """A score is one only if x0 ~ N(0, I)."""
        return self.prediction == "score"

    @property
    def interpolant(self) -> Path:
        """alpha and sigma of x_t; the path, but for a method whose x0 is not independent of x1 and that has none."""
        assert self.path is not None
        return self.path

    def draw_times(self, x1: Tensor, rng: torch.Generator) -> Tensor:
        """One t in [0, t_end] a sample of x1, by the law of `times`, float32 (B,)."""
        return times.draw_times(self.times, self.interpolant, x1, rng)

    def error(self, answer: Tensor, t: Tensor, x0: Tensor, x1: Tensor) -> Tensor:
        """The answer of the network at x_t less alpha' x1 + sigma' x0, x1 or x0; sigma (answer - score) of a score."""
        return prediction.error(self.prediction, self.interpolant, t, answer, x0, x1)

    def velocity(self, net: Network) -> VelocityField:
        """f(t, x) -> dx/dt; within prediction.MARGIN of an end where it is 0 / 0, that of the time next to it."""
        path, kind, answer = self.interpolant, self.prediction, field_of(net)
        first, last = prediction.within(kind, path)

        def f(t: Tensor, x: Tensor) -> Tensor:
            t = t if (first, last) == (0.0, path.t_end) else t.clamp(first, last)
            return prediction.velocity(kind, path, t, x, answer(t, x))

        return f

    def eps(self, net: Network) -> VelocityField | None:
        return field_of(net) if self.prediction == "noise" else None

    def data(self, net: Network) -> VelocityField | None:
        return field_of(net) if self.prediction == "data" else None
