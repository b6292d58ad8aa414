"""The path energy over what optimal transport needs."""

from bench.metrics.metric import Facts, declare

declare(
    "npe",
    data="points",
    npe=Facts(
        "NPE",
        "",
        "lower",
        "geometry",
        "Normalised path energy, |path energy - W₂²| / W₂² with W₂ between noise and data: 0 for optimal transport.",
    ),
)
