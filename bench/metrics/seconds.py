"""Seconds on a clock that waits for the device (bench/evaluation/clock.py)."""

from bench.metrics.metric import Facts, declare

TRAINING = "Seconds in training steps alone: no evaluation, checkpoint or queue."

declare(
    "seconds",
    in_sweep=True,
    train_seconds=Facts("Training time", "s", "lower", "cost", TRAINING, place=60),
    sampling_seconds=Facts("Sampling time", "s", "lower", "cost", "Seconds to draw all n samples.", place=61),
    likelihood_seconds=Facts("Likelihood time", "s", "lower", "cost", "Seconds for the densities of all n.", place=62),
)
