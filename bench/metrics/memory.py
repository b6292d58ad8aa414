"""Memory at its peak (bench/evaluation/clock.py)."""

from bench.metrics.metric import Facts, declare

PEAK = "Largest memory held while training, sampling or scoring, in the process or on the device."

declare("memory", peak_memory_bytes=Facts("Peak memory", "bytes", "lower", "cost", PEAK, place=63))
