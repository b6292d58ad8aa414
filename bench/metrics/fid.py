"""The Frechet distance between the features of samples and of data."""

from bench.metrics.metric import Facts, declare

declare(
    "fid",
    data="images",
    in_curve=True,
    in_sweep=True,
    fid=Facts(
        "FID",
        direction="lower",
        meaning="Fréchet distance between Gaussians fitted to Inception features of samples and data. It is biased in "
        "the number of samples, so only equal n, extractor and split compare.",
    ),
    fd_=Facts(
        "FD",
        direction="lower",
        meaning="Fréchet distance between samples and data in the features of {}, a small network of this "
        "project: not an FID, and comparable only within this dataset, n and split.",
    ),
)
