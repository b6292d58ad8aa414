"""Evaluations of the network, which its wrapper counts (bench/methods/network.py)."""

from bench.metrics.metric import Facts, declare

SAMPLING = "Evaluations of the network per sample, which an adaptive solver chooses for a batch: not solver steps."
LIKELIHOOD = "Evaluations of the field and its divergence per density, which an adaptive solver chooses for a batch."
TRAINING = "Evaluations of the network in training per row of the batch: forward and adjoint, no backward pass."

declare(
    "nfe_sampling",
    in_curve=True,
    in_sweep=True,
    nfe_sampling=Facts("Sampling NFE", "", "lower", "cost", SAMPLING, place=50),
)
declare("nfe_likelihood", nfe_likelihood=Facts("Likelihood NFE", "", "lower", "cost", LIKELIHOOD, place=51))
declare("nfe_training", nfe_training=Facts("Training NFE", "", "lower", "cost", TRAINING, place=52))
