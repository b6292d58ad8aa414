"""Codes z of any length for networks that go from the shape of x to the shape of x.

    d(z) = net(z) if z is as long as x, else net(A z + b),

with A and b learnt beside the network.
"""

import math

import torch
from torch import Tensor, nn


class Decoder(nn.Module):
    """d of z (B, latent), (B, *shape), and log sigma of the noise around it, learnt or fixed."""

    def __init__(self, net: nn.Module, latent: int, shape: tuple[int, ...], sigma: float, learn_sigma: bool) -> None:
        super().__init__()
        dim = math.prod(shape)
        self.lift, self.net, self.shape = nn.Identity() if latent == dim else nn.Linear(latent, dim), net, shape
        self.log_sigma = nn.Parameter(torch.tensor(math.log(sigma)), requires_grad=learn_sigma)

    def forward(self, z: Tensor) -> Tensor:
        x: Tensor = self.net(self.lift(z).unflatten(1, self.shape))
        return x


def latents(x0: Tensor, latent: int, rng: torch.Generator) -> Tensor:
    """z ~ N(0, I) of the noise x0 (B, ...): its first numbers, (B, latent), and fresh ones if those are too few."""
    more = max(0, latent - x0[0].numel())
    fresh = torch.randn(len(x0), more, generator=rng, device=x0.device, dtype=x0.dtype)
    return torch.cat([x0.flatten(1)[:, :latent], fresh], 1)
