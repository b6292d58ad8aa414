"""A variational autoencoder (Kingma & Welling, ICLR 2014) whose latent has the shape of x.

L = KL(N(m(x), s(x)^2) || N(0, I)) - E log N(x; d(z), sigma^2 I),  z = m(x) + s(x) e,  e ~ N(0, I).
"""

import math
from dataclasses import dataclass

from torch import nn

from bench import Baseline, Model, noise, register_baseline


@register_baseline("vae", label="VAE")
@dataclass(frozen=True)
class VAE(Baseline):
    needs_gaussian = True
    sigma: float = 0.3

    def build(self, make, data):
        return nn.ModuleDict({part: make.network(time=False) for part in ("mean", "log_std", "decoder")})

    def bound(self, net, x, rng):
        mean, log_std = net["mean"](x), net["log_std"](x)
        z = mean + log_std.exp() * noise(x, rng)
        error = ((x - net["decoder"](z)) / self.sigma).square() / 2 + math.log(self.sigma * math.sqrt(2 * math.pi))
        kl = (mean.square() + (2 * log_std).exp() - 1) / 2 - log_std
        return -(error + kl).flatten(1).sum(1)

    def loss(self, net, x1, rng):
        return -self.bound(net, x1, rng)

    def draw(self, net, z, rng):
        return net["decoder"](z) + self.sigma * noise(z, rng)

    def model(self, net):
        return Model(
            bound=lambda x, rng: self.bound(net, x, rng),
            samplers={"decoder": lambda x0, rng: self.draw(net, x0, rng)},
            absent={"velocity": "a VAE has no ODE", "log_prob": "a VAE has a bound alone"},
        )
