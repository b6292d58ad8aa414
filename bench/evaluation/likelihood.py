"""Negative log-likelihood: nats for points, bits/dim for images.

    NLL = -E log p(x),        bits/dim = -log p(x) / (d ln 2) + log2(L / 2)      for L grey levels scaled to [-1, 1].

An image is dequantised K times with u_k ~ U[0, 1): log (1/K) sum_k p(x + u_k) bounds the log-probability of the
integers from below and tightens with K (Lipman et al. 2023, appendix; Burda et al. 2016). One pass measures K = 1 and
each K of `draws` from the first K of the same draws. The divergence is exact up to EXACT_DIMENSIONS unless said
otherwise, Hutchinson's above; its noise, exponentiated, makes bounds of K > 1 a little too good. With several probes
their spread gives the error that they leave in the NLL, by the delta method: a bound's variance is sum_k w_k^2 var_k,
with w_k the softmax over k of log p(x + u_k).
"""

import math
from functools import partial as bound
from typing import Any

import torch
from torch import Tensor

from bench.config.settings import Likelihood
from bench.datasets.base import Dataset
from bench.evaluation.clock import reset_peak_memory
from bench.evaluation.density import measure_density
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.log_densities import draws_of, log_densities
from bench.evaluation.partial import Partial
from bench.evaluation.parts import Arrays, Parts, Rows, attempt
from bench.evaluation.trained import Trained
from bench.methods.finite import complaint, lost
from bench.methods.ode import Solver
from bench.records.records import Measurement

EXACT_DIMENSIONS = 64


def bits_per_dim(log_p: Tensor, dim: int, levels: int) -> Tensor:
    """bits/dim of integers whose dequantised values have log-density log_p (nats) on [-1, 1]^dim."""
    return -log_p / (dim * math.log(2)) + math.log2(levels / 2)


def measure_likelihood(evaluator: Evaluator, config: Likelihood, parts: Parts) -> None:
    for settings in config.solvers:
        solver = Solver(**settings.model_dump())
        measure_solver(evaluator, config, solver, parts, f"likelihood {solver.settings()}")
    # One peak, of the solver that takes most.
    peaks = [row for row in parts.rows if row.metric == "peak_memory_bytes"]
    parts.rows = [row for row in parts.rows if row.metric != "peak_memory_bytes"]
    exact = bound(floor, evaluator.dataset, config.n)
    parts.rows += attempt(exact, exact) + sorted(peaks, key=lambda row: -1 if row.reason else row.value)[-1:]
    if evaluator.dataset.shape == (2,):
        measure_density(evaluator, parts)


def measure_solver(evaluator: Evaluator, config: Likelihood, solver: Solver, parts: Parts, name: str) -> None:
    """A part of that name: the likelihood by one solver."""
    make, blank = bound(_likelihood, evaluator, config, solver), bound(_no_likelihood, evaluator, config, solver)
    parts.measure(name, make, blank)


def _likelihood(evaluator: Evaluator, config: Likelihood, solver: Solver, partial: Partial) -> tuple[Rows, Arrays]:
    reset_peak_memory(evaluator.device)
    return [*by_solver(evaluator.trained, config, solver, evaluator.weights, partial), evaluator.peak({})], {}


def _no_likelihood(evaluator: Evaluator, config: Likelihood, solver: Solver, reason: str) -> Rows:
    rows = blank(evaluator.trained, config, solver, evaluator.weights, reason)
    return [*rows, Measurement("peak_memory_bytes", math.nan, reason=reason)]


def by_solver(
    trained: Trained, config: Likelihood, solver: Solver, weights: str, partial: Partial | None = None
) -> list[Measurement]:
    """NLL of the first n test samples by one solver, for each K of the draws, its NFE and seconds.

    Standard errors are over images; with several probes `nll_probe_stderr` is what they leave in the NLL, in its unit.
    Where a draw fails, each K below it is measured.

    Args:
        weights: "ema" or "raw", quoted in the records.
        partial: where finished batches wait for a restart.

    Raises:
        Diverged: a solve of the first draw failed (Lost where several ranks share the run).
    """
    dataset, settings = trained.dataset, _settings(trained, config, solver, weights)
    n = min(config.n, len(dataset.test))
    found = log_densities(trained, n, solver, config, settings["probes"], partial or Partial())
    draws = len(found.log_p)
    rows: list[Measurement] = []
    for k in draws_of(dataset, config):
        own = {**settings, "draws": k}
        if k <= draws:
            rows += _bound(found.log_p[:k], found.variance[:k], dataset, own, found.seconds)
        else:
            rows += _no_bound(dataset, n, own, found.reason)
    rows.append(Measurement("nfe_likelihood", found.nfe, None, n, found.seconds, settings))
    rows.append(Measurement("likelihood_seconds", found.seconds, None, n * draws, found.seconds, settings))
    return rows


def blank(trained: Trained, config: Likelihood, solver: Solver, weights: str, reason: str) -> list[Measurement]:
    """What `by_solver` measures, without values."""
    dataset, settings = trained.dataset, _settings(trained, config, solver, weights)
    n, draws = min(config.n, len(dataset.test)), draws_of(dataset, config)
    rows = [row for k in draws for row in _no_bound(dataset, n, {**settings, "draws": k}, reason)]
    for metric, count in (("nfe_likelihood", n), ("likelihood_seconds", n * draws[-1])):
        rows.append(Measurement(metric, math.nan, None, count, settings=settings, reason=reason))
    return rows


def floor(dataset: Dataset, n: int, reason: str | None = None) -> list[Measurement]:
    """The exact NLL of the first n test samples, where the data has a density."""
    if dataset.log_prob is None:
        return []
    settings: dict[str, object] = {"split": "test", "density": "exact"}
    n = min(n, len(dataset.test))
    if reason:
        return [Measurement("nll_floor", math.nan, None, n, settings=settings, reason=reason)]
    found = -dataset.log_prob(dataset.test[:n].double())
    return [_mean("nll_floor", found, settings, None, complaint(lost(found), n, "exact log-densities"))]


def _settings(trained: Trained, config: Likelihood, solver: Solver, weights: str) -> dict[str, Any]:
    """What every measurement by a solver depends on."""
    dataset = trained.dataset
    exact = config.divergence == "exact" or (config.divergence == "auto" and dataset.dim <= EXACT_DIMENSIONS)
    return {
        **solver.settings(),
        "divergence": "exact" if exact else "hutchinson",
        "probes": None if exact else config.probes,
        "dequantisation": "uniform" if dataset.is_image else None,
        "batch": config.batch,
        "split": "test",
        "weights": weights,
    }


def _no_bound(dataset: Dataset, n: int, settings: dict[str, Any], reason: str | None) -> list[Measurement]:
    """What `_bound` measures, without values."""
    metrics = ["nll_bpd" if dataset.levels else "nll_nats"]
    if (settings["probes"] or 1) > 1:
        metrics.append("nll_probe_stderr")
    return [Measurement(metric, math.nan, None, n, settings=settings, reason=reason) for metric in metrics]


def _bound(
    log_p: Tensor, variance: Tensor, dataset: Dataset, quote: dict[str, object], seconds: float
) -> list[Measurement]:
    """The NLL of K draws, (K, n) log-densities, and the standard error that several probes leave in it.

    An infinite log-density among the draws would vanish in the bound or make it perfect: then there is no value.
    """
    reason = complaint(lost(log_p.T), log_p.shape[1], "log-densities")
    bound = torch.logsumexp(log_p, 0) - math.log(len(log_p))
    noise = (log_p.softmax(0).square() * variance).sum(0).sum().sqrt() / log_p.shape[1]
    if dataset.levels:
        rows = [_mean("nll_bpd", bits_per_dim(bound, dataset.dim, dataset.levels), quote, seconds, reason)]
        noise /= dataset.dim * math.log(2)
    else:
        rows = [_mean("nll_nats", -bound, quote, seconds, reason)]
    if isinstance(quote["probes"], int) and quote["probes"] > 1:
        value = math.nan if reason else float(noise)
        rows.append(Measurement("nll_probe_stderr", value, None, log_p.shape[1], seconds, quote, reason))
    return rows


def _mean(
    metric: str, values: Tensor, quote: dict[str, object], seconds: float | None, reason: str | None
) -> Measurement:
    if reason:
        return Measurement(metric, math.nan, None, len(values), seconds, quote, reason)
    stderr = float(values.std() / len(values) ** 0.5) if len(values) > 1 else None
    return Measurement(metric, float(values.mean()), stderr, len(values), seconds, quote)
