"""The negative log-likelihood of held-out data, which bench/evaluation/likelihood.py measures."""

from bench.metrics.metric import Facts, declare

NATS = (
    "Mean negative log-likelihood of held-out data under the model's exact density. The floor is the same mean under "
    "the density that made the data: no model can be below it but by chance."
)
BPD = (
    "Negative log-likelihood of held-out pixels in bits per dimension, dequantised; K draws of the noise tighten the "
    "bound, so only equal K compare."
)
FLOOR = "The NLL of held-out data under the density that made it."
PROBES = "Standard error that the probes of a divergence leave in the NLL, in its unit."

declare(
    "nll",
    in_curve=True,
    nll_nats=Facts("NLL", "nats", "lower", "likelihood", NATS, place=10),
    nll_bpd=Facts("Bits/dim", "", "lower", "likelihood", BPD, place=11),
    nll_floor=Facts("NLL floor", "nats", "", "likelihood", FLOOR),
    nll_probe_stderr=Facts("Probe error", "", "lower", "", PROBES),
)
