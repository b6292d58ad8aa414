"""What it cost to choose the values that a run was trained with."""

from bench.metrics.metric import Facts, declare

SECONDS = "Seconds in training steps of all trials that a suite's tuning made for this method and data, of all seeds."
EVALUATIONS = "Network evaluations in the training of all those trials, counted as training NFE."

declare(
    "tuning",
    tuning_seconds=Facts("Tuning time", "s", "lower", "cost", SECONDS, place=64),
    tuning_evaluations=Facts("Tuning NFE", "", "lower", "cost", EVALUATIONS, place=65),
)
