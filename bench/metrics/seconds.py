"""Seconds on a clock that waits for the device (bench/evaluation/clock.py)."""

from bench.metrics.metric import Facts, declare

declare(
    "seconds",
    in_sweep=True,
    train_seconds=Facts(
        "Training time",
        "s",
        "lower",
        "cost",
        "Seconds in training steps alone: no evaluation, checkpoint or queue.",
    ),
    sampling_seconds=Facts("Sampling time", "s", "lower", "cost", "Seconds to draw all n samples."),
    likelihood_seconds=Facts("Likelihood time", "s", "lower", "cost", "Seconds for the densities of all n points."),
)
