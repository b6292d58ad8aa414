"""How close images are to the ones they should be: PSNR and SSIM, pair by pair (scikit-image).

    PSNR = 10 log10(255^2 / MSE)    in dB, MSE over all pixels and channels
    SSIM = mean over pixels and channels of
           (2 m_x m_y + c_1) (2 s_xy + c_2) / ((m_x^2 + m_y^2 + c_1) (s_x^2 + s_y^2 + c_2))        Wang et al. 2004

with means m, variances s^2 and covariance s_xy under a Gaussian window of deviation 1.5 pixels, 11 pixels wide,
c_1 = (0.01 * 255)^2, c_2 = (0.03 * 255)^2, over the pixels whose window lies in the image.

Identical images have no PSNR. They count as if one value were one grey level off, MSE = 1/d with d = C H W: the
largest PSNR that two different images can have, so that the mean over images stays finite.
"""

import math

import torch
from torch import Tensor

from bench.errors import UsageError
from bench.records.records import Measurement

PEAK = 255
SIGMA, WINDOW = 1.5, 11


def psnr(images: Tensor, targets: Tensor) -> Tensor:
    """PSNR in dB of each image, (B,) float64; images and targets are uint8 (B, C, H, W).

    UsageError where they differ in shape or are of another type.
    """
    from skimage.metrics import peak_signal_noise_ratio

    _check(images, targets)
    cap = 10 * math.log10(PEAK**2 * images[0].numel())
    pairs = zip(images.cpu().numpy(), targets.cpu().numpy(), strict=True)
    values = [peak_signal_noise_ratio(y, x, data_range=PEAK) if (x != y).any() else cap for x, y in pairs]
    return torch.tensor(values, dtype=torch.float64)


def ssim(images: Tensor, targets: Tensor) -> Tensor:
    """SSIM of each image, (B,) float64 in [-1, 1]; images and targets are uint8 (B, C, H, W).

    UsageError where they differ in shape, are of another type or smaller than the window.
    """
    from skimage.metrics import structural_similarity

    _check(images, targets)
    if min(images.shape[2:]) < WINDOW:
        raise UsageError(f"images of {images.shape[2]} x {images.shape[3]} pixels; SSIM's window is {WINDOW} wide")
    pairs = zip(images.cpu().numpy(), targets.cpu().numpy(), strict=True)
    values = [
        structural_similarity(
            x, y, channel_axis=0, data_range=PEAK, gaussian_weights=True, sigma=SIGMA, use_sample_covariance=False
        )
        for x, y in pairs
    ]
    return torch.tensor(values, dtype=torch.float64)


def similarity(psnrs: Tensor, ssims: Tensor, reason: str | None = None) -> list[Measurement]:
    """psnr and ssim, the means over n images with their standard errors, from the values of all images, (n,) each.

    They have no value where there is a `reason` for that.
    """
    every = {"channels": "all", "data_range": PEAK}
    return [
        _mean("psnr", psnrs, {**every, "identical": "one level off in one value"}, reason),
        _mean("ssim", ssims, {**every, "window": "gaussian", "window_size": WINDOW, "sigma": SIGMA}, reason),
    ]


def _mean(metric: str, values: Tensor, settings: dict[str, object], reason: str | None) -> Measurement:
    n = len(values)
    if reason:
        return Measurement(metric, math.nan, None, n, settings=settings, reason=reason)
    stderr = float(values.std()) / math.sqrt(n) if n > 1 else None
    return Measurement(metric, float(values.mean()), stderr, n, settings=settings)


def _check(images: Tensor, targets: Tensor) -> None:
    for side in (images, targets):
        if side.dtype != torch.uint8 or side.ndim != 4:
            raise UsageError(f"images are {side.dtype} {tuple(side.shape)}; they must be uint8 pixels (B, C, H, W)")
    if images.shape != targets.shape:
        raise UsageError(f"images have shape {tuple(images.shape)}, the ones they should be {tuple(targets.shape)}")
