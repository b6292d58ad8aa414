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
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from bench.config.settings import Likelihood
from bench.datasets.base import Dataset
from bench.evaluation.clock import reset_peak_memory
from bench.evaluation.density import measure_density
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.log_densities import log_densities
from bench.evaluation.parts import Arrays, Parts, Rows, attempt, filled, without
from bench.evaluation.routes import Route, routes
from bench.evaluation.unfinished import Unfinished
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
    parts.rows += floor(evaluator.dataset, config.n)
    parts.rows += sorted(peaks, key=lambda row: -1 if row.reason else row.value)[-1:]
    if evaluator.dataset.is_plane:
        measure_density(evaluator, parts)


def measure_route(evaluator: Evaluator, route: Route, parts: Parts, name: str) -> None:
    peak = Measurement("peak_memory_bytes")

    def make(unfinished: Unfinished) -> tuple[Rows, Arrays]:
        reset_peak_memory(evaluator.device)
        found = by_route(route, evaluator.weights, unfinished)
        return [*found, replace(peak, value=evaluator.peak())], {}

    parts.measure(name, [*blank(route, evaluator.weights), peak], make)


def blank(route: Route, weights: str) -> Rows:
    """What is measured of the first n held-out samples, without values: the NLL of each K, then its NFE and seconds.

    Standard errors are over images; with several probes `nll_probe_stderr` is what they leave in the NLL, in its unit.
    """
    settings, n = {**route.settings(), "weights": weights}, _count(route)
    rows = [row for k in _draws(route) for row in _of_draws(route, {**settings, "draws": k})]
    cost = Measurement("nfe_likelihood", n=n, settings=settings)
    return [*rows, cost, replace(cost, metric="likelihood_seconds", n=n * _draws(route)[-1])]


def by_route(route: Route, weights: str, unfinished: Unfinished | None = None) -> Rows:
    """The rows of `blank` with their values; if a draw fails, each K below it is measured.

    NotApplicable if the model, or the data, has no such density; Diverged if a solve of the first draw failed (Lost if
    several ranks share the run).
    """
    n, draws = _count(route), _draws(route)
    found = log_densities(route, n, draws[-1], unfinished or Unfinished())
    *rows, nfe, seconds = blank(route, weights)
    whole, measured = len(found.log_p), Rows()
    for k in draws:
        of_k = [row for row in rows if row.settings["draws"] == k]
        if k > whole:
            measured += without(of_k, found.reason or "")
        else:
            measured += _nll(route, of_k, found.log_p[:k], found.variance[:k], found.seconds)
    nfe = replace(nfe, value=found.nfe, seconds=found.seconds)
    return [*measured, nfe, replace(seconds, value=found.seconds, seconds=found.seconds, n=n * whole)]


def floor(dataset: Dataset, n: int) -> Rows:
    """The exact NLL of the first n test samples, where the data has a density."""
    dataset = dataset.joined
    log_prob, n = dataset.log_prob, min(n, len(dataset.test))
    if log_prob is None:
        return []
    row = Measurement("nll_floor", n=n, settings={"split": dataset.held_out, "density": "exact"})

    def make() -> Rows:
        found = -log_prob(dataset.test[:n].double())
        reason = complaint(lost(found), n, "exact log-densities")
        return without([row], reason) if reason else filled([row], {"nll_floor": _mean(found)})

    return attempt([row], make)


def _count(route: Route) -> int:
    return min(route.config.n, len(route.trained.dataset.test))


def _draws(route: Route) -> list[int]:
    return sorted({1, *route.config.draws}) if route.trained.dataset.is_image else [1]


def _of_draws(route: Route, settings: dict[str, Any]) -> Rows:
    """The NLL of K draws and what several probes leave in it, without values."""
    metrics = [f"{route.metric}_{'bpd' if route.trained.dataset.levels else 'nats'}"]
    metrics += ["nll_probe_stderr"] if (settings.get("probes") or 1) > 1 else []
    return [Measurement(metric, n=_count(route), settings=settings) for metric in metrics]


def _nll(route: Route, rows: Rows, log_p: Tensor, variance: Tensor, seconds: float) -> Rows:
    """The rows of `_of_draws` by the log-densities of K draws, (K, n), and their variances over probes.

    An infinite log-density among the draws would vanish in the bound or make it perfect: then there is no value.
    """
    dataset, n = route.trained.dataset, log_p.shape[1]
    rows = [replace(row, seconds=seconds) for row in rows]
    if reason := complaint(lost(log_p.T), n, "log-densities"):
        return without(rows, reason)
    log_mean = torch.logsumexp(log_p, 0) - math.log(len(log_p))
    noise = (log_p.softmax(0).square() * variance).sum(0).sum().sqrt() / n
    values = -log_mean
    if dataset.levels:
        values = bits_per_dim(log_mean, dataset.dim, dataset.levels)
        noise /= dataset.dim * math.log(2)
    return filled(rows, {rows[0].metric: _mean(values), "nll_probe_stderr": float(noise)})


def _mean(values: Tensor) -> tuple[float, float | None]:
    return float(values.mean()), float(values.std() / len(values) ** 0.5) if len(values) > 1 else None
