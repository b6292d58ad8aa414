"""The kinetic energy of the paths from noise to samples, which bench/evaluation/geometry.py measures."""

from bench.metrics.metric import Facts, declare

declare(
    "path_energy",
    path_energy=Facts(
        "Path energy",
        "",
        "lower",
        "geometry",
        "Mean of the squared speed of samples integrated along their way from noise to data; at least W₂² between "
        "noise and data, with equality for optimal transport.",
    ),
)
