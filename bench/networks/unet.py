"""A U-Net on images, diffusers' UNet2DModel with a sinusoidal embedding of time_scale * t.

1000 is DDPM's scale. After a short training its fast oscillations in t make the field rough for an adaptive solver: a
smaller scale needs several times fewer evaluations at the same quality.

Without a time (`time` = False) t is 0, and the last convolution is as random as the others: what such a network makes
is no field. With `out` it ends below the last level, whose channels and pixels together a linear layer takes to a
vector.

Attention stands where `attention` names a resolution's level (0 is the full resolution); below the last level the
middle block always attends.
"""

from functools import partial
from typing import Any

from torch import Tensor, nn

from bench.config.registry import register_network
from bench.networks.blocks import head, zero
from bench.networks.inputs import Inputs, Shape, Told, require, require_images


class UNet(nn.Module):
    """net(t, x) or net(x): t (B,) in [0, 1] and x (B, C, H, W) -> (B, C, H, W), or (B, out)."""

    def __init__(self, model: Any, time_scale: float, told: Told) -> None:
        super().__init__()
        self.model, self.time_scale = model, time_scale
        self.told, self.classes = told, told.inputs.classes

    def forward(self, *inputs: Tensor, **more: Tensor | None) -> Tensor:
        *times, x = inputs
        t = self.told.inputs.time_of(times, x)
        told = self.told.added(x, self.waves, **more)  # diffusers adds it to the embedding of t, as that of a class
        answer: Tensor = self.model(x, self.time_scale * t, told, return_dict=False)[0]
        return answer

    def waves(self, t: Tensor) -> Tensor:
        """The sinusoids of time_scale * t, (B, channels)."""
        waves: Tensor = self.model.time_proj(self.time_scale * t)
        return waves.to(t.dtype)


def check(
    shape: tuple[int, ...],
    channels: list[int],
    layers: int,
    attention: list[int],
    head_channels: int,
    groups: int,
    second_time: bool,
    classes: int | None,
    given: Shape | int,
    time: bool,
    out: int | None,
    **_: object,
) -> Inputs:
    """What the network takes; UsageError for an option of `unet` out of range, or that does not fit the shape."""
    ask = partial(require, "unet")
    require_images("unet", shape, len(channels))
    inputs = Inputs("unet", shape, second_time, classes, given, time, out)
    ask(min(channels, default=0) > 0, "channels", channels, "a number above 0 is needed for each level")
    ask(layers > 0, "layers", layers, "a number above 0 is needed")
    ask(groups > 0, "groups", groups, "a number above 0 is needed")
    ask(head_channels > 0, "head_channels", head_channels, "a number above 0 is needed")
    ask(not any(width % groups for width in channels), "groups", groups, f"it must divide all of channels = {channels}")
    levels = range(len(channels))
    ask(set(attention) <= set(levels), "attention", attention, f"levels 0 to {levels[-1]} are there")
    attending = sorted({*attention, levels[-1]})
    widths = [channels[level] for level in attending]
    ask(head_channels <= min(widths), "head_channels", head_channels, f"the levels that attend have {widths} channels")
    return inputs


@register_network("unet", check=check)
def unet(
    shape: tuple[int, ...],
    channels: list[int] = [32, 64],  # noqa: B006 - read only, and shown as the default
    layers: int = 1,
    attention: list[int] = [],  # noqa: B006
    head_channels: int = 16,
    groups: int = 8,
    time_scale: float = 1000.0,
    second_time: bool = False,
    classes: int | None = None,
    given: Shape | int = (),
    time: bool = True,
    out: int | None = None,
) -> nn.Module:
    """The U-Net of diffusers on images: `layers` residual blocks a level, whose resolution halves in between."""
    told = (second_time, classes, given, time, out)
    inputs = check(shape, channels, layers, attention, head_channels, groups, *told)
    from diffusers import UNet2DModel

    down = tuple("AttnDownBlock2D" if i in attention else "DownBlock2D" for i in range(len(channels)))
    up = tuple("AttnUpBlock2D" if i in attention else "UpBlock2D" for i in reversed(range(len(channels))))
    model = UNet2DModel(
        sample_size=shape[1:],
        in_channels=shape[0] + inputs.channels,
        out_channels=shape[0],
        block_out_channels=tuple(channels),
        layers_per_block=layers,
        down_block_types=down,
        up_block_types=up,
        attention_head_dim=head_channels,
        norm_num_groups=groups,
        class_embed_type="identity" if inputs.embedded else None,
    )
    if out is not None:
        height, width = (side >> len(channels) - 1 for side in shape[1:])
        model.up_blocks, model.conv_norm_out, model.conv_act = nn.ModuleList(), nn.Identity(), nn.Identity()
        model.conv_out = head((channels[-1], height, width), out)
    elif time:
        zero(model.conv_out)
    return UNet(model, time_scale, Told(inputs, channels[0], 4 * channels[0]))
