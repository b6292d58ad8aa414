"""A GAN of two networks (Goodfellow et al., NeurIPS 2014), with the loss that does not saturate.

L_D = softplus(-D(x1)) + softplus(D(G(x0))),  L_G = softplus(-D(G(x0))),  x0 ~ N(0, I).
"""

from dataclasses import dataclass

import torch
from torch.nn import ModuleDict
from torch.nn.functional import softplus

from bench import Baseline, Model, Phase, noise, register_baseline


@register_baseline("plain_gan", label="Plain GAN")
@dataclass(frozen=True)
class PlainGAN(Baseline):
    phases = (Phase("judge", "discriminator", betas=(0, 0.99)), Phase("loss", "generator", betas=(0, 0.99)))

    def build(self, make, data):
        return ModuleDict({"generator": make.network(time=False), "discriminator": make.network(time=False, out=1)})

    def judge(self, net, batch, ctx):
        with torch.no_grad():
            fake = net["generator"](noise(batch.x, ctx.rng))
        return (softplus(-net["discriminator"](batch.x)) + softplus(net["discriminator"](fake)))[:, 0]

    def loss(self, net, batch, ctx):
        return softplus(-net["discriminator"](net["generator"](noise(batch.x, ctx.rng))))[:, 0]

    def model(self, net):
        no_density = dict.fromkeys(("velocity", "log_prob"), "a GAN has no density")
        return Model(samplers={"generator": lambda x0, rng: net["generator"](x0)}, absent=no_density)
