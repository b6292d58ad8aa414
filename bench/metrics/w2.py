"""The 2-Wasserstein distance between samples and held-out points."""

from bench.metrics.metric import Facts, declare

declare(
    "w2",
    data="points",
    in_curve=True,
    in_sweep=True,
    w2=Facts(
        "W₂",
        direction="lower",
        meaning="2-Wasserstein distance between samples and held-out data, in the data's own units. Finite samples "
        "leave a positive rest even for a perfect model.",
    ),
)
