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

from torch import Tensor

from bench.methods import prediction
from bench.methods.flow import field_of
from bench.methods.network import Network
from bench.methods.ode import VelocityField
from bench.methods.prediction import Prediction
from bench.methods.times import TimedFlow


@dataclass(frozen=True, kw_only=True)
class GaussianFlow(TimedFlow):
    """A flow whose network predicts the velocity, the data, the noise or the score (bench/methods/prediction.py).

    Attributes:
        prediction: what the network gives; the loss is the mean square of its error.
    """

    prediction: Prediction = "velocity"

    @property
    def needs_gaussian(self) -> bool:
        """A score is one only if x0 ~ N(0, I)."""
        return self.prediction == "score"

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
