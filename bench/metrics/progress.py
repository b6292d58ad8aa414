"""How far a training came, which has no column."""

from bench.metrics.metric import Facts, declare

declare(
    "progress",
    steps=Facts("Steps", group="", meaning="Updates of the weights."),
    best_step=Facts("Best step", group="", meaning="Updates that led to the weights of least validation loss."),
    validation_loss=Facts("Validation loss", "", "lower", "", "Loss of those weights on the validation split."),
    train_loss=Facts("Training loss", "", "lower", "", "Mean loss of the last steps, on a scale of the method's own."),
)
