"""The kernel distance between the features of samples and of data."""

from bench.metrics.metric import Facts, declare

declare(
    "kid",
    data="images",
    kid=Facts(
        "KID",
        direction="lower",
        meaning="Squared maximum mean discrepancy of Inception features, unbiased in the number of samples.",
    ),
    kd_=Facts(
        "KD",
        direction="lower",
        meaning="Kernel distance between samples and data in the features of {}, a small network of this project: "
        "not an FID, and comparable only within this dataset, n and split.",
    ),
)
