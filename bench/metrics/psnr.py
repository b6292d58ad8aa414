"""The peak signal-to-noise ratio of images to the ones that they should be, pair by pair (scikit-image).

    PSNR = 10 log10(255^2 / MSE)    in dB, MSE over all pixels and channels

Identical images have no PSNR. They count as if one value were one grey level off, MSE = 1/d with d = C H W: the
largest PSNR that two different images can have, so that the mean over images stays finite.
"""

import math
from typing import TYPE_CHECKING, Any

from bench.errors import UsageError
from bench.metrics.metric import Facts, register_metric

if TYPE_CHECKING:
    from torch import Tensor

PEAK = 255


FACTS = Facts("PSNR", "dB", "higher", meaning="Peak signal-to-noise ratio to the reference image.", place=37)
SETTINGS = {"channels": "all", "data_range": PEAK, "identical": "one level off in one value"}


@register_metric(
    "psnr", facts={"psnr": FACTS}, needs="pairs", data="images", in_sweep=True, settings=lambda *_: SETTINGS
)
def psnr(images: "Tensor", targets: "Tensor", *_: Any) -> "Tensor":
    """PSNR in dB of each image, (B,) float64; images and targets are uint8 (B, C, H, W), else UsageError."""
    import torch
    from skimage.metrics import peak_signal_noise_ratio

    check(images, targets)
    cap = 10 * math.log10(PEAK**2 * images[0].numel())
    pairs = zip(images.cpu().numpy(), targets.cpu().numpy(), strict=True)
    values = [peak_signal_noise_ratio(y, x, data_range=PEAK) if (x != y).any() else cap for x, y in pairs]
    return torch.tensor(values, dtype=torch.float64)


def check(images: "Tensor", targets: "Tensor") -> None:
    """UsageError if images and the ones that they should be cannot be compared."""
    import torch

    for side in (images, targets):
        if side.dtype != torch.uint8 or side.ndim != 4:
            raise UsageError(f"images are {side.dtype} {tuple(side.shape)}; they must be uint8 pixels (B, C, H, W)")
    if images.shape != targets.shape:
        raise UsageError(f"images have shape {tuple(images.shape)}, the ones they should be {tuple(targets.shape)}")
