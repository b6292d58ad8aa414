"""The negative log-likelihood of held-out data and its defensive twin, by bench/evaluation/likelihood.py."""

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
DEFENSIVE_FLOOR = "The defensive NLL of held-out data under the density that made it."
DEFENSIVE = (
    "NLL of a thousandth of a broad density (the training data's normal density, of pixels the uniform one) and the "
    "rest of the model's: a proper score, at most 0.001 nats above the NLL, in which a point that the model loses "
    "counts by a bounded amount."
)
LOST = "Points whose density by the model is below a thousandth of that broad density: the plain mean hangs on them."
PROBES = "Standard error that the probes of a divergence leave in the NLL, in its unit."

declare(
    "nll",
    in_curve=True,
    nll_nats=Facts("NLL", "nats", "lower", "likelihood", NATS, place=10),
    nll_bpd=Facts("Bits/dim", "", "lower", "likelihood", BPD, place=11),
    nll_defensive_nats=Facts("Defensive NLL", "nats", "lower", "likelihood", DEFENSIVE, place=11),
    nll_defensive_bpd=Facts("Defensive NLL per dimension", "bits/dim", "lower", "likelihood", DEFENSIVE, place=11),
    nll_floor=Facts("NLL floor", "nats", "", "likelihood", FLOOR),
    nll_defensive_floor=Facts("Defensive NLL floor", "nats", "", "likelihood", DEFENSIVE_FLOOR),
    nll_probe_stderr=Facts("Probe error", "", "lower", "", PROBES),
)
declare("lost_points", lost_points=Facts("Lost", "points", "lower", "likelihood", LOST, place=12))
