"""A bound on the negative log-likelihood, of models whose likelihood is out of reach: never in a column with an NLL."""

from bench.metrics.metric import Facts, declare

NATS = "Upper bound on the mean negative log-likelihood of held-out data, such as a negative ELBO."
BPD = "Upper bound on the negative log-likelihood of held-out pixels in bits per dimension."

declare(
    "bound",
    in_curve=True,
    bound_nats=Facts("NLL bound", "nats", "lower", "likelihood", NATS, place=12),
    bound_bpd=Facts("Bits/dim bound", "", "lower", "likelihood", BPD, place=13),
)
