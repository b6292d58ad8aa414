"""Networks as people write them: frozen Fourier frequencies; old and new style weight and spectral norm."""

import torch
from torch import nn

from bench.config.registry import register_network


class Time(nn.Module):
    def __init__(self, body, d, fourier=0, scale=4.0):
        super().__init__()
        if fourier:
            self.W = nn.Parameter(
                torch.randn(fourier) * scale, requires_grad=False
            )  # score_sde's GaussianFourierProjection
        else:
            self.W = None
        self.body = body

    def forward(self, t, x):
        e = (
            t[:, None]
            if self.W is None
            else torch.cat([(t[:, None] * self.W * 6.283).sin(), (t[:, None] * self.W * 6.283).cos()], 1)
        )
        return self.body(torch.cat([x, e], 1))


def mlp(i, o, w=32, wrap=lambda m: m):
    return nn.Sequential(wrap(nn.Linear(i, w)), nn.SiLU(), wrap(nn.Linear(w, w)), nn.SiLU(), nn.Linear(w, o))


@register_network("plain")
def plain(shape):
    return Time(mlp(shape[0] + 1, shape[0]), shape[0])


@register_network("fourier")
def fourier(shape):
    return Time(mlp(shape[0] + 32, shape[0]), shape[0], 16)


@register_network("weightnorm_old")
def weightnorm_old(shape):
    return Time(mlp(shape[0] + 1, shape[0], wrap=nn.utils.weight_norm), shape[0])


@register_network("spectral_old")
def spectral_old(shape):
    return Time(mlp(shape[0] + 1, shape[0], wrap=nn.utils.spectral_norm), shape[0])


@register_network("weightnorm")
def weightnorm(shape):
    return Time(mlp(shape[0] + 1, shape[0], wrap=nn.utils.parametrizations.weight_norm), shape[0])


@register_network("spectral")
def spectral(shape):
    return Time(mlp(shape[0] + 1, shape[0], wrap=nn.utils.parametrizations.spectral_norm), shape[0])


@register_network("lazy")
def lazy(shape):
    return Time(nn.Sequential(nn.LazyLinear(32), nn.SiLU(), nn.Linear(32, shape[0])), shape[0])
