"""Methods that learn where the ODE of a noise-level path ends (Song et al., ICML 2023).

    f(y, s) = c_skip y + c_out F(c_in y; c_noise),    f(y, least) = y,    y = x1 + s x0,

with EDM's scaling made to fulfil the condition (bench/methods/denoiser.py). f leads along the ODE from y at level s to
its end, noise of the least level. Where it ends does not tell its slope: there is no velocity, and no likelihood.
"""

from dataclasses import dataclass, field
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from bench.methods.denoiser import ScaledToData, edm_scaling, scaled
from bench.methods.model import Model
from bench.methods.network import Network
from bench.methods.noise_levels import NoiseLevels
from bench.methods.sampler import of_few_steps

START = 80.0  # the level that samples start from
SLOPELESS = "a consistency model knows where its ODE ends, not its slope"


@dataclass(frozen=True)
class ConsistencyBaseline(ScaledToData):
    """A method whose network, scaled, is a consistency function; a file says its loss.

    Attributes:
        least: the level at which f is the identity, and where samples end.
    """

    needs_gaussian = True

    least: Annotated[float, Field(gt=0, lt=START)] = field(default=0.002, kw_only=True)

    def clean(self, net: Network, s: Tensor, y: Tensor) -> Tensor:
        """f(y, s) for y (B, ...) and levels s (B,)."""
        return scaled(net, edm_scaling(s, self.sigma_data, self.least), y)

    def teacher(self, net: Network, s: Tensor, y: Tensor) -> Tensor:
        """f(y, s) without a gradient, with the units dropped out that the next call drops out, too."""
        with torch.no_grad(), torch.random.fork_rng([y.device] if y.is_cuda else []):
            return self.clean(net, s, y)

    def model(self, net: Network) -> Model:
        """The consistency function, in the frame of the path, and its samplers of 1, 2 and 4 evaluations."""
        from bench.samplers.consistency import Consistency

        path = NoiseLevels(START, self.least)

        def consistency(t: Tensor, x: Tensor) -> Tensor:
            clean = self.clean(net, path.level(t).expand(len(x)), x / path.alpha(t))
            return path.alpha(torch.ones_like(t)) * clean

        samplers = of_few_steps(Consistency)
        absent = dict.fromkeys(("velocity", "log_prob"), SLOPELESS)
        return self.guidable(Model(consistency=consistency, path=path, samplers=samplers, absent=absent), net)
