"""Evaluations of the network, which its wrapper counts (bench/methods/network.py)."""

from bench.metrics.metric import Facts, declare


def _counted(title: str, meaning: str) -> Facts:
    return Facts(title, direction="lower", group="cost", meaning=meaning)


declare(
    "nfe_sampling",
    in_curve=True,
    in_sweep=True,
    nfe_sampling=_counted(
        "Sampling NFE", "Evaluations of the network for one batch of samples: evaluations, not solver steps."
    ),
)
declare(
    "nfe_likelihood",
    nfe_likelihood=_counted(
        "Likelihood NFE", "Evaluations of the field and its divergence for one batch of densities."
    ),
)
declare(
    "nfe_training",
    nfe_training=_counted(
        "Training NFE",
        "Network evaluations in the whole training, forward and adjoint: one a step for simulation-free methods.",
    ),
)
