"""How far the paths from noise to samples are from straight lines, which bench/evaluation/geometry.py measures."""

from bench.metrics.metric import Facts, declare

declare(
    "straightness",
    straightness=Facts(
        "Straightness",
        "",
        "lower",
        "geometry",
        "Mean squared difference between the velocity along a path and the path's mean velocity: 0 for straight "
        "lines at constant speed.",
    ),
)
