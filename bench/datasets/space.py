"""The map between data space, where samples are stored and measured, and model space, where a model draws them.

Images and points have theirs in bench/datasets/base.py. A dataset has another by naming a space of its own:

    class Latent:
        keeps_density = False
        log_volume = 0.0                           # ln |det of the derivative of encode|, if it is a constant but 0
        def encode(self, stored, rng=None): ...    # stored samples (B, ...) -> x in model space, float32 (B, ...)
        def decode(self, x): ...                   # x -> uint8 pixels (B, C, H, W) of images, float32 (B, D) of points
"""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class Space(Protocol):
    """A pair of maps, on the device of what they are given."""

    @property
    def keeps_density(self) -> bool:
        """Whether log p of x, plus `log_volume` if the space has it, is that of the data.

        If not, likelihoods in model space say nothing of the data and are not applicable.
        """

    def encode(self, stored: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Stored samples -> model space; without `rng` the map has no randomness."""

    def decode(self, x: Tensor) -> Tensor:
        """Model space -> what is measured of samples: pixels, or points.

        Raises:
            NotFinite: x holds NaN or inf, and would become pixels like others.
        """
