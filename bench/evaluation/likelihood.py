"""Negative log-likelihood: nats for points, bits/dim for images.

    NLL = -E log p(x),        bits/dim = -log p(x) / (d ln 2) + log2(L / 2)      for L grey levels scaled to [-1, 1].

An image is dequantised K times with u_k ~ U[0, 1): log (1/K) sum_k p(x + u_k) bounds the log-probability of the
integers from below and tightens with K (Lipman et al. 2023, appendix; Burda et al. 2016). One pass measures K = 1 and
each K of `draws` from the first K of the same draws. The noise of Hutchinson's divergence, exponentiated, makes bounds
of K > 1 a little too good. With several probes their spread gives the error that they leave in the NLL, by the delta
method: a bound's variance is sum_k w_k^2 var_k, with w_k the softmax over k of log p(x + u_k). A model's own lower
bound of log p takes the place of log p in metrics of their own, bound_nats and bound_bpd.
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
from bench.evaluation.log_densities import LogDensities, log_densities
from bench.evaluation.partial import Partial
from bench.evaluation.parts import Arrays, Parts, Rows, attempt
from bench.evaluation.routes import Route, routes
from bench.methods.finite import complaint, lost
from bench.records.records import Measurement


def bits_per_dim(log_p: Tensor, dim: int, levels: int) -> Tensor:
    """bits/dim of integers whose dequantised values have log-density log_p (nats) on [-1, 1]^dim."""
    return -log_p / (dim * math.log(2)) + math.log2(levels / 2)


def measure_likelihood(evaluator: Evaluator, config: Likelihood, parts: Parts) -> None:
    for route in routes(evaluator.trained, config):
        measure_route(evaluator, route, parts, f"likelihood {route.name}")
    # One peak, of the route that takes most.
    peaks = [row for row in parts.rows if row.metric == "peak_memory_bytes"]
    parts.rows = [row for row in parts.rows if row.metric != "peak_memory_bytes"]
    exact = bound(floor, evaluator.dataset, config.n)
    parts.rows += attempt(exact, exact) + sorted(peaks, key=lambda row: -1 if row.reason else row.value)[-1:]
    if evaluator.dataset.is_plane:
        measure_density(evaluator, parts)


def measure_route(evaluator: Evaluator, route: Route, parts: Parts, name: str) -> None:
    """A part of that name: the likelihood by one route."""

    def make(partial: Partial) -> tuple[Rows, Arrays]:
        reset_peak_memory(evaluator.device)
        return [*by_route(route, evaluator.weights, partial), evaluator.peak()], {}

    def without(reason: str) -> Rows:
        return [*blank(route, evaluator.weights, reason), Measurement("peak_memory_bytes", math.nan, reason=reason)]

    parts.measure(name, make, without)


def by_route(route: Route, weights: str, partial: Partial | None = None) -> list[Measurement]:
    """NLL of the first n held-out samples, for each K of the draws, its NFE and seconds.

    Standard errors are over images; with several probes `nll_probe_stderr` is what they leave in the NLL, in its unit.
    Where a draw fails, each K below it is measured.

    Args:
        weights: "ema" or "raw", quoted in the records.
        partial: where finished batches wait for a restart.

    Raises:
        NotApplicable: the model, or the data, has no such density.
        Diverged: a solve of the first draw failed (Lost where several ranks share the run).
    """
    found = log_densities(route, _count(route), _draws(route)[-1], partial or Partial())
    return _rows(route, weights, found, found.reason)


def blank(route: Route, weights: str, reason: str) -> list[Measurement]:
    """What `by_route` measures, without values."""
    return _rows(route, weights, None, reason)


def _rows(route: Route, weights: str, found: LogDensities | None, reason: str | None) -> list[Measurement]:
    settings, n, draws = {**route.settings(), "weights": weights}, _count(route), _draws(route)
    whole, nfe, seconds = (len(found.log_p), found.nfe, found.seconds) if found else (0, math.nan, math.nan)
    rows: list[Measurement] = []
    for k in draws:
        own = {**settings, "draws": k}
        if found and k <= whole:
            rows += _nll(route, found.log_p[:k], found.variance[:k], own, seconds)
        else:
            rows += _no_nll(route, n, own, reason)
    spent, reason = (seconds, None) if found else (None, reason)
    rows.append(Measurement("nfe_likelihood", nfe, None, n, spent, settings, reason))
    rows.append(Measurement("likelihood_seconds", seconds, None, n * (whole or draws[-1]), spent, settings, reason))
    return rows


def floor(dataset: Dataset, n: int, reason: str | None = None) -> list[Measurement]:
    """The exact NLL of the first n test samples, where the data has a density."""
    if dataset.log_prob is None:
        return []
    settings: dict[str, object] = {"split": dataset.held_out, "density": "exact"}
    n = min(n, len(dataset.test))
    if reason:
        return [Measurement("nll_floor", math.nan, None, n, settings=settings, reason=reason)]
    found = -dataset.log_prob(dataset.test[:n].double())
    return [_mean("nll_floor", found, settings, None, complaint(lost(found), n, "exact log-densities"))]


def _count(route: Route) -> int:
    return min(route.config.n, len(route.trained.dataset.test))


def _draws(route: Route) -> list[int]:
    """Every K that is measured."""
    return sorted({1, *route.config.draws}) if route.trained.dataset.is_image else [1]


def _metric(route: Route) -> str:
    return f"{route.metric}_{'bpd' if route.trained.dataset.levels else 'nats'}"


def _no_nll(route: Route, n: int, settings: dict[str, Any], reason: str | None) -> list[Measurement]:
    """What `_nll` measures, without values."""
    metrics = [_metric(route)]
    if (settings.get("probes") or 1) > 1:
        metrics.append("nll_probe_stderr")
    return [Measurement(metric, math.nan, None, n, settings=settings, reason=reason) for metric in metrics]


def _nll(route: Route, log_p: Tensor, variance: Tensor, settings: dict[str, Any], seconds: float) -> list[Measurement]:
    """The NLL of K draws, (K, n) log-densities, and the standard error that several probes leave in it.

    An infinite log-density among the draws would vanish in the bound or make it perfect: then there is no value.
    """
    dataset, n = route.trained.dataset, log_p.shape[1]
    reason = complaint(lost(log_p.T), n, "log-densities")
    log_mean = torch.logsumexp(log_p, 0) - math.log(len(log_p))
    noise = (log_p.softmax(0).square() * variance).sum(0).sum().sqrt() / n
    values = -log_mean
    if dataset.levels:
        values = bits_per_dim(log_mean, dataset.dim, dataset.levels)
        noise /= dataset.dim * math.log(2)
    rows = [_mean(_metric(route), values, settings, seconds, reason)]
    if (settings.get("probes") or 1) > 1:
        value = math.nan if reason else float(noise)
        rows.append(Measurement("nll_probe_stderr", value, None, n, seconds, settings, reason))
    return rows


def _mean(
    metric: str, values: Tensor, quote: dict[str, object], seconds: float | None, reason: str | None
) -> Measurement:
    if reason:
        return Measurement(metric, math.nan, None, len(values), seconds, quote, reason)
    stderr = float(values.std() / len(values) ** 0.5) if len(values) > 1 else None
    return Measurement(metric, float(values.mean()), stderr, len(values), seconds, quote)
