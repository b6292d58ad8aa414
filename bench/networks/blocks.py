"""The blocks of ADM (bench/networks/adm.py has their equations), with r for a change of resolution."""

import math
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.forward_ad import unpack_dual
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint


def group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(32, channels), channels)


def zero(convolution: nn.Conv2d) -> nn.Conv2d:
    """The convolution with nothing but zeros in it."""
    for parameter in convolution.parameters():
        nn.init.zeros_(parameter)
    return convolution


def head(shape: tuple[int, int, int], out: int) -> nn.Sequential:
    """W silu(norm(h)) + b over all channels and pixels of h (B, *shape), as (B, out)."""
    return nn.Sequential(group_norm(shape[0]), nn.SiLU(), nn.Flatten(), nn.Linear(math.prod(shape), out))


class Residual(nn.Module):
    """The residual block of h (B, fan_in, H, W) and e (B, embedding), with `resample` for r."""

    def __init__(
        self, fan_in: int, fan_out: int, embedding: int, scale_shift: bool, dropout: float, resample: nn.Module
    ) -> None:
        super().__init__()
        self.norm_in, self.conv_in = group_norm(fan_in), nn.Conv2d(fan_in, fan_out, 3, padding=1)
        self.time = nn.Linear(embedding, 2 * fan_out if scale_shift else fan_out)
        self.norm_out, self.conv_out = group_norm(fan_out), zero(nn.Conv2d(fan_out, fan_out, 3, padding=1))
        self.skip = nn.Identity() if fan_in == fan_out else nn.Conv2d(fan_in, fan_out, 1)
        self.resample, self.dropout, self.scale_shift = resample, nn.Dropout(dropout), scale_shift

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        y = self.conv_in(self.resample(F.silu(self.norm_in(h))))
        e = self.time(e)[:, :, None, None]
        if self.scale_shift:
            scale, shift = e.chunk(2, 1)
            y = self.norm_out(y) * (1 + scale) + shift
        else:
            y = self.norm_out(y + e)
        return self.skip(self.resample(h)) + self.conv_out(self.dropout(F.silu(y)))


class Attention(nn.Module):
    """The attention block of h (B, channels, H, W)."""

    def __init__(self, channels: int, head_channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // head_channels)
        self.norm, self.qkv = group_norm(channels), nn.Conv2d(channels, 3 * channels, 1)
        self.out = zero(nn.Conv2d(channels, channels, 1))

    def forward(self, h: Tensor) -> Tensor:
        # The fused kernels need the channels last in memory; in a channels_last network that copies nothing.
        parts = self.qkv(self.norm(h)).flatten(2).mT.contiguous().chunk(3, 2)
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in parts)  # (B, heads, H W, d) each
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return h + self.out(y.mT.unflatten(2, h.shape[2:]))


def checkpointed(block: nn.Module, *inputs: Tensor) -> Tensor:
    """block(*inputs), of which the backward pass finds only the inputs kept and computes the rest again.

    A forward derivative keeps all: what is computed again would be without it.
    """
    if any(unpack_dual(tensor).tangent is not None for tensor in inputs):
        answer: Tensor = block(*inputs)
        return answer
    plain = not torch.compiler.is_compiling() and not torch.backends.cuda.flash_sdp_enabled()

    def compute(*inputs: Tensor) -> Tensor:
        # A second derivative computes the block outside the caller's `sdpa_kernel`, yet must not take a fused one.
        with sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
            return block(*inputs)

    return checkpoint(compute, *inputs, use_reentrant=False)
