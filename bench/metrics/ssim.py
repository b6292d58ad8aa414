"""The structural similarity of images to the ones that they should be."""

from bench.metrics.metric import Facts, declare

declare(
    "ssim",
    data="images",
    in_curve=True,
    in_sweep=True,
    ssim=Facts("SSIM", direction="higher", meaning="Structural similarity to the reference image."),
)
