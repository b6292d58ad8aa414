"""Memory at its peak (bench/evaluation/clock.py)."""

from bench.metrics.metric import Facts, declare

declare(
    "memory",
    peak_memory_bytes=Facts(
        "Peak memory",
        "bytes",
        "lower",
        "cost",
        "Largest memory held while training, in the process or on the device.",
    ),
)
