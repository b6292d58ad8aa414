"""A variational autoencoder (Kingma & Welling, ICLR 2014), or importance weighted (Burda et al., ICLR 2016).

L = KL(q(z|x) || N(0, I)) - log p(x|z),  q = N(m(x), s(x)^2),  p = N(d(z), sigma^2 I),  z = m(x) + s(x) e,  e ~ N(0, I);
L_K = -log 1/K sum_k w_k,  w = p(x|z) N(z; 0, I) / q(z|x),  for `importance` = K > 1.

`latent` is the length of z, 0 for that of x; bench/methods/latent.py has d. m and log s are one network.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from bench import Baseline, Decoder, Deviation, Model, NotApplicable, latents, log_normal, noise, register_baseline


@register_baseline("vae", label="VAE")
@dataclass(frozen=True)
class VAE(Baseline):
    needs_gaussian = True

    latent: Annotated[int, Field(ge=0)] = 0
    sigma: Deviation = 0.1
    learn_sigma: bool = True
    importance: Annotated[int, Field(gt=0)] = 1

    def build(self, make: Any, data: Any) -> nn.ModuleDict:
        if data.given is not None:
            raise NotApplicable("the code of a VAE is given nothing beside x")
        latent = self.latent or math.prod(data.shape)
        decoder = Decoder(make.network(time=False), latent, data.shape, self.sigma, self.learn_sigma)
        return nn.ModuleDict({"encoder": make.network(time=False, out=2 * latent), "decoder": decoder})

    def terms(self, net: Any, x: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """log p(x|z) and log N(z; 0, I) - log q(z|x) of one z, and KL(q || N(0, I)), (B,) each."""
        m, log_s = net["encoder"](x).chunk(2, 1)
        e, log_sigma = noise(m, rng), net["decoder"].module.log_sigma
        z = m + log_s.exp() * e
        log_p = log_normal((x - net["decoder"](z)) / log_sigma.exp()) - x[0].numel() * log_sigma
        kl = ((m.square() + (2 * log_s).exp() - 1) / 2 - log_s).sum(1)
        return log_p, log_normal(z) - log_normal(e) + log_s.sum(1), kl

    def bound(self, net: Any, x: Tensor, rng: torch.Generator) -> Tensor:
        log_p, _, kl = self.terms(net, x, rng)
        return log_p - kl

    def log_weight(self, net: Any, x: Tensor, rng: torch.Generator) -> Tensor:
        log_p, log_ratio, _ = self.terms(net, x, rng)
        return log_p + log_ratio

    def loss(self, net: Any, x1: Tensor, rng: torch.Generator) -> Tensor:
        if self.importance == 1:
            return -self.bound(net, x1, rng)
        log_w = torch.stack([self.log_weight(net, x1, rng) for _ in range(self.importance)])
        return math.log(self.importance) - log_w.logsumexp(0)

    def draw(self, net: Any, noisy: bool, x0: Tensor, rng: torch.Generator) -> Tensor:
        mean: Tensor = net["decoder"](latents(x0, self.latent or x0[0].numel(), rng))
        return mean + net["decoder"].module.log_sigma.exp() * noise(x0, rng) if noisy else mean

    def model(self, net: Any) -> Model:
        samplers = {"decoder": partial(self.draw, net, True), "mean": partial(self.draw, net, False)}
        absent = {"velocity": "a VAE has no ODE", "log_prob": "a VAE has bounds of its density alone"}
        weight = partial(self.log_weight, net)
        return Model(bound=partial(self.bound, net), log_weight=weight, samplers=samplers, absent=absent)
