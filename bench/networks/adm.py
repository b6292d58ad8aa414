"""ADM, the U-Net of Dhariwal & Nichol ("Diffusion models beat GANs on image synthesis", NeurIPS 2021).

    e = silu(MLP(cos(s t w), sin(s t w)) + ...),  w_k = 10000^(-2k / channels) for k < channels / 2,  s = time_scale
    residual block   h <- skip(r(h)) + conv(silu(norm_e(conv(r(silu(norm(h)))))))
    attention block  h <- h + W softmax(q^T k / sqrt d) v over the pixels, (q, k, v) = U norm(h), in heads of d channels

The dots are the embeddings of what the network takes beside t and x (bench/networks/inputs.py), ADM's classes for one.
r halves or doubles the resolution at the end of a level (`resample_blocks`) and is the identity elsewhere; norm_e(y) is
norm(y) (1 + a) + b with (a, b) linear in e (`scale_shift`), else norm(y + b). Level i has multiples[i] * channels
channels and 1 / 2^i of the side; each output of the way down is concatenated to an input of the way up. The last
convolutions of the blocks and of the network start at zero, so that an untrained field vanishes.

Lipman et al. (ICLR 2023) train this U-Net with "minimal changes", of which they give channels, multiples, blocks,
attention, heads and dropout. They leave open `scale_shift` and `resample_blocks` (ADM's own models have both, which add
11 to 20% of parameters), how t in [0, 1] is embedded, and the heads: their "4" and "64 channels" agree at 256 channels
alone. Here the channels decide, as in ADM, and the answer holds no variances.

Without a time (`time` = False) t is 0, and the last convolution is as random as the others: what such a network makes
is no field. With `out` it ends below the last level, whose channels and pixels together a linear layer takes to a
vector, as in ADM's own classifier.

time_scale = 1000 is DDPM's. After a short training its fast oscillations in t make the field rough for an adaptive
solver: a smaller scale needs several times fewer evaluations at the same quality.
"""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.config.registry import register_network
from bench.networks.blocks import Attention, Residual, checkpointed, group_norm, head, zero
from bench.networks.inputs import Inputs, Shape, Told, require, require_images

MAX_PERIOD = 10_000


class ADM(nn.Module):
    """net(t, x) or net(x): t (B,) in [0, 1] and x (B, C_in, H, W) -> (B, C_out, H, W), from its parts down and up.

    With no part on the way up `end` takes what stands below the last level.
    """

    frequencies: Tensor

    def __init__(
        self,
        channels: int,
        time_scale: float,
        checkpointing: bool,
        start: nn.Module,
        down: list[list[nn.Module]],
        middle: list[nn.Module],
        up: list[list[nn.Module]],
        end: nn.Module,
        told: Told,
    ) -> None:
        super().__init__()
        half, wide = channels // 2, 4 * channels
        self.register_buffer("frequencies", time_scale * MAX_PERIOD ** -(torch.arange(half) / half))
        self.embed = nn.Sequential(nn.Linear(channels, wide), nn.SiLU(), nn.Linear(wide, wide))
        self.start, self.middle, self.end = start, nn.ModuleList(middle), end
        self.down, self.up = (nn.ModuleList(nn.ModuleList(blocks) for blocks in way) for way in (down, up))
        self.checkpointing = checkpointing
        self.told, self.classes = told, told.inputs.classes

    def forward(self, *inputs: Tensor, **more: Tensor | None) -> Tensor:
        *times, x = inputs
        t = self.told.inputs.time_of(times, x)
        e, told = self.embed(self.waves(t)), self.told.added(x, self.waves, **more)
        e = F.silu(e if told is None else e + told)
        passed = [self.start(x)]
        for blocks in self.down:
            passed.append(self.through(blocks, passed[-1], e))
        h = self.through(self.middle, passed[-1], e)
        for blocks in self.up:
            h = self.through(blocks, torch.cat([h, passed.pop()], 1), e)
        found: Tensor = self.end(h)
        return found

    def waves(self, t: Tensor) -> Tensor:
        """cos(s t w) and sin(s t w), (B, channels)."""
        angles = t[:, None] * self.frequencies
        return torch.cat([angles.cos(), angles.sin()], 1)

    def through(self, blocks: Any, h: Tensor, e: Tensor) -> Tensor:
        """h after the blocks, of which the residual ones read e."""
        for block in blocks:
            inputs = (h, e) if isinstance(block, Residual) else (h,)
            h = checkpointed(block, *inputs) if self.checkpointing and self.training else block(*inputs)
        return h


def check(
    shape: Shape,
    channels: int,
    multiples: list[int],
    blocks: int,
    attention: list[int],
    head_channels: int,
    dropout: float,
    second_time: bool,
    classes: int | None,
    given: Shape | int,
    time: bool,
    out: int | None,
    **_: object,
) -> Inputs:
    """What the network takes; UsageError for an option of `adm` out of range, or that does not fit the shape."""
    ask = partial(require, "adm")
    require_images("adm", shape, len(multiples))
    ask(channels > 0 and channels % 2 == 0, "channels", channels, "an even number above 0 is needed")
    ask(min(multiples, default=0) > 0, "multiples", multiples, "a number above 0 is needed for each level")
    ask(blocks > 0, "blocks", blocks, "a number above 0 is needed")
    ask(head_channels > 0, "head_channels", head_channels, "a number above 0 is needed")
    ask(0 <= dropout < 1, "dropout", dropout, "a number in [0, 1) is needed")
    inputs = Inputs("adm", shape, second_time, classes, given, time, out)
    levels = _levels(shape, channels, multiples)
    heights = [height for _, height in levels]
    ask(set(attention) <= set(heights), "attention", attention, f"the levels have heights {heights}")
    attending = [width for width, height in levels if width > head_channels and height in (*attention, heights[-1])]
    divides = not any(width % head_channels for width in attending)
    ask(divides, "head_channels", head_channels, f"the levels that attend have {attending} channels")
    return inputs


def _levels(shape: Shape, channels: int, multiples: list[int]) -> list[tuple[int, int]]:
    """Channels and height of each level."""
    return [(channels * multiple, shape[1] >> i) for i, multiple in enumerate(multiples)]


@register_network("adm", check=check)
def adm(
    shape: Shape,
    channels: int = 128,
    multiples: list[int] = [1, 2, 2, 2],  # noqa: B006 - read only, and shown as the default
    blocks: int = 2,
    attention: list[int] = [16],  # noqa: B006
    head_channels: int = 64,
    scale_shift: bool = True,
    resample_blocks: bool = True,
    dropout: float = 0.0,
    time_scale: float = 1000.0,
    checkpointing: bool = False,
    second_time: bool = False,
    classes: int | None = None,
    given: Shape | int = (),
    time: bool = True,
    out: int | None = None,
) -> nn.Module:
    """The U-Net of Dhariwal & Nichol (NeurIPS 2021), on images of a height that its levels divide.

    It goes from (C, H, W), or (C + C', H, W) where images (C', H, W) are given, to `shape` = (C, H, W). There are
    `blocks` residual blocks a level on the way down, and one more on the way up. Attention follows them at the heights
    in pixels that `attention` names, and always stands in the middle; a level narrower than `head_channels` has one
    head. `checkpointing` keeps the inputs of the blocks alone in training, and computes each block twice; a forward
    derivative (MeanFlow's) keeps all, and torch.func cannot pull back through it. UsageError for an option out of
    range, or that does not fit the shape.
    """
    told = (second_time, classes, given, time, out)
    inputs = check(shape, channels, multiples, blocks, attention, head_channels, dropout, *told)
    levels = _levels(shape, channels, multiples)
    heights = [height for _, height in levels]

    def residual(fan_in: int, fan_out: int, resample: nn.Module | None = None) -> nn.Module:
        return Residual(fan_in, fan_out, 4 * channels, scale_shift, dropout, resample or nn.Identity())

    def stage(fan_in: int, width: int, height: int) -> list[nn.Module]:
        return [residual(fan_in, width), *([Attention(width, head_channels)] if height in attention else [])]

    def halve(width: int) -> nn.Module:
        return residual(width, width, nn.AvgPool2d(2)) if resample_blocks else nn.Conv2d(width, width, 3, 2, 1)

    def double(width: int) -> nn.Module:
        twice = nn.Upsample(scale_factor=2)
        if resample_blocks:
            return residual(width, width, twice)
        return nn.Sequential(twice, nn.Conv2d(width, width, 3, padding=1))

    h = levels[0][0]
    start, passed = nn.Conv2d(shape[0] + inputs.channels, h, 3, padding=1), [h]
    down: list[list[nn.Module]] = []
    for width, height in levels:
        for _ in range(blocks):
            down.append(stage(passed[-1], width, height))
            passed.append(width)
        if height > heights[-1]:
            down.append([halve(width)])
            passed.append(width)
    h = passed[-1]
    middle, up = [residual(h, h), Attention(h, head_channels), residual(h, h)], []
    for width, height in reversed(levels) if out is None else ():
        for _ in range(blocks + 1):
            up.append(stage(h + passed.pop(), width, height))
            h = width
        if height < heights[0]:
            up[-1].append(double(h))
    if out is None:
        last = nn.Conv2d(h, shape[0], 3, padding=1)
        end = nn.Sequential(group_norm(h), nn.SiLU(), zero(last) if time else last)
    else:
        end = head((h, heights[-1], shape[2] >> len(levels) - 1), out)
    return ADM(channels, time_scale, checkpointing, start, down, middle, up, end, Told(inputs, channels, 4 * channels))
