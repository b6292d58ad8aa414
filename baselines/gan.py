"""A GAN with the loss that does not saturate (Goodfellow et al., NeurIPS 2014) and R1 (Mescheder et al., ICML 2018).

L_D = softplus(-D(x1)) + softplus(D(G(x0))) + gamma / 2 |grad D(x1)|^2,  L = softplus(-D(G(x0))),  x0 ~ N(0, I).

The discriminator is updated first, then the generator, once a step each on batches of their own, by Adam without
momentum: with it (beta1 = 0.9) the two chase each other.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import ModuleDict
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import softplus

from bench import About, Baseline, Batch, Context, Make, Model, NonNegative, Phase, noise, register_baseline


@register_baseline("gan", label="GAN")
@dataclass(frozen=True)
class GAN(Baseline):
    phases = (Phase("judge", "discriminator", (0.0, 0.99)), Phase("loss", "generator", (0.0, 0.99)))

    gamma: NonNegative = 1.0

    def build(self, make: Make, data: About) -> ModuleDict:
        return ModuleDict({"generator": make.network(time=False), "discriminator": make.network(time=False, out=1)})

    def judge(self, net: Any, batch: Batch, ctx: Context) -> Tensor:
        """L_D."""
        with torch.no_grad():
            fake = net["generator"](noise(batch.x, ctx.rng))
        x = batch.x.detach().requires_grad_()
        with sdpa_kernel(SDPBackend.MATH):  # fused attention has no second derivative
            real = net["discriminator"].eager(x)  # nor has what is compiled
            (slope,) = torch.autograd.grad(real.sum(), x, create_graph=True)
        penalty = self.gamma / 2 * slope.square().flatten(1).sum(1)
        return (softplus(-real) + softplus(net["discriminator"](fake)))[:, 0] + penalty

    def loss(self, net: Any, batch: Batch, ctx: Context) -> Tensor:
        return softplus(-net["discriminator"](net["generator"](noise(batch.x, ctx.rng))))[:, 0]

    def model(self, net: Any) -> Model:
        no_density = dict.fromkeys(("velocity", "log_prob", "bound"), "a GAN has no density")
        return Model(samplers={"generator": lambda x0, rng: net["generator"](x0)}, absent=no_density)
