"""How far a training came, which has no column."""

from bench.metrics.metric import Facts, declare

declare(
    "progress",
    steps=Facts("Steps", group="", meaning="Updates of the weights."),
    train_loss=Facts("Training loss", "", "lower", "", "Mean loss of the last steps, on a scale of the method's own."),
)
