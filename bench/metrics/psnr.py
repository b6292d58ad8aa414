"""The peak signal-to-noise ratio of images to the ones that they should be."""

from bench.metrics.metric import Facts, declare

declare(
    "psnr",
    data="images",
    in_curve=True,
    in_sweep=True,
    psnr=Facts("PSNR", "dB", "higher", meaning="Peak signal-to-noise ratio to the reference image."),
)
