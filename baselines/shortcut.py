"""Shortcut models: one network for steps of any length, each learnt from two of half of it (Frans et al., ICLR 2025).

L = |u(t, x_t, t) - (x1 - x0)|^2 on most samples, and on a share of them, for d = 1, 1/2, 1/4, ...,

L = |u(t, x_t, t + d) - sg(u_1 + u_2)/2|^2,  u_1 = u(t, x_t, t + d/2),  u_2 = u(t + d/2, x_t + u_1 d/2, t + d),

where u_1 and u_2 are of the averaged network, t is a multiple of d, and a half step of the smallest length 1 / sections
asks for the velocity, as any step does that is no longer. x_t = t x1 + (1 - t) x0.

The authors' share is 1/4, or 1/8 where guidance is learnt too, which is left out here. Their code clips u_1's end and
the target to [-4, 4], which suits latents of deviation 1, and takes t of the first line from multiples of 1 / sections.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from bench import Batch, Context, FlowMapBaseline, Network, NonNegative, like, mean_square, noise, register_baseline

MOST = 2**18  # sections that t of float32 still tells apart near 1


@register_baseline("shortcut", label="Shortcut")
@dataclass(frozen=True)
class Shortcut(FlowMapBaseline):
    share: Annotated[float, Field(ge=0, le=1)] = 0.25
    sections: int = 128
    clip: NonNegative = 0.0  # 0: nothing is clipped

    def check_options(self) -> None:
        super().check_options()
        if not 2 <= self.sections <= MOST or self.sections & (self.sections - 1):
            self.refuse("sections", f"a power of 2 from 2 to {MOST} is needed")
        if self.share == 0:
            self.unused("sections", "clip", needs="share above 0")

    def loss(self, net: Network, batch: Batch, ctx: Context) -> Tensor:
        x0, t = noise(batch.x, ctx.rng), torch.rand(len(batch), generator=ctx.rng, device=batch.x.device)
        n = -int(-self.share * len(batch) // 1)  # at least one, however small the piece of a batch
        k = torch.randint(self.sections.bit_length() - 1, (n,), generator=ctx.rng, device=t.device)
        d = torch.cat([0.5**k, torch.zeros_like(t[n:])])
        t = torch.cat([(t[:n] / d[:n]).floor() * d[:n], t[n:]])
        x, target = self.path.sample(t, x0, batch.x), self.path.target(t, x0, batch.x)
        if n:
            average: Any = ctx.average
            halves = average.of(torch.arange(n, device=t.device))
            target = torch.cat([self.two_halves(halves, t[:n], d[:n], x[:n]), target[n:]])
        return mean_square(net(t, x, r=t + d) - target)

    def two_halves(self, net: Network, t: Tensor, d: Tensor, x: Tensor) -> Tensor:
        """The average velocity of two steps of d / 2 from x, without a gradient."""
        half = d / 2
        middle, end = t + half, t + half + half
        with torch.no_grad():
            first = net(t, x, r=self.told(t, middle))
            second = net(middle, self.clipped(x + like(half, x) * first), r=self.told(middle, end))
        return self.clipped((first + second) / 2)

    def told(self, t: Tensor, r: Tensor) -> Tensor:
        """t, for the velocity, of steps of the smallest length or less; lengths are powers of 2 up to rounding."""
        return torch.where((r - t) * self.sections > 1.5, r, t)

    def clipped(self, x: Tensor) -> Tensor:
        return x.clamp(-self.clip, self.clip) if self.clip else x
