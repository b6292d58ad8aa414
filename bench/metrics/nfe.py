"""Evaluations of the network, which its wrapper counts (bench/methods/network.py)."""

from bench.metrics.metric import Facts, declare

declare(
    "nfe",
    in_curve=True,
    nfe_sampling=Facts(
        "Sampling NFE",
        "",
        "lower",
        "cost",
        "Evaluations of the velocity field for one batch of samples: evaluations, not solver steps.",
    ),
    nfe_likelihood=Facts(
        "Likelihood NFE",
        "",
        "lower",
        "cost",
        "Evaluations of the field and its divergence for one batch of densities.",
    ),
    nfe_training=Facts(
        "Training NFE",
        "",
        "lower",
        "cost",
        "Network evaluations in the whole training, forward and adjoint: one a step for simulation-free methods.",
    ),
)
