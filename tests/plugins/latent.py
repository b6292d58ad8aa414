"""The 8x8 digits in the latents of a linear autoencoder: principal components, each of variance 1 over training data.

x = (k - mean) V / s,  k = mean + (x s) V^T, for the first columns V of the right singular vectors.
"""

from dataclasses import replace

import torch

from bench import register_dataset
from bench.datasets.digits import digits


class Components:
    """A space (bench/datasets/space.py); what it leaves out has no density in it."""

    keeps_density = False

    def __init__(self, images, dim):
        values = images.flatten(1).float()
        self.mean, self.shape, self.top = values.mean(0), images.shape[1:], int(images.max())
        _, lengths, axes = torch.linalg.svd(values - self.mean, full_matrices=False)
        self.axes, self.std = axes[:dim], lengths[:dim] / len(values) ** 0.5

    def encode(self, stored, rng=None):
        values = stored.flatten(1).float() - self.mean.to(stored.device)
        return values @ self.axes.T.to(stored.device) / self.std.to(stored.device)

    def decode(self, x):
        values = (x * self.std.to(x.device)) @ self.axes.to(x.device) + self.mean.to(x.device)
        levels = values.round().clamp(0, self.top) * (255 / self.top)
        return levels.round().to(torch.uint8).unflatten(1, self.shape)


@register_dataset("digits_latent")
def digits_latent(data_dir, dim: int = 16):
    """The digits as vectors of their first principal components."""
    data, name = digits(data_dir), "digits_latent"
    space = Components(data.train, dim)
    return replace(data, name=name, version=f"{data.version}-{dim}", extractor=f"{name}_cnn", space=space)
