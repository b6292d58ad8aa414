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
from bench.evaluation import defensive
from bench.evaluation.clock import reset_peak_memory
from bench.evaluation.density import measure_density
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.log_densities import log_densities
from bench.evaluation.parts import Arrays, Parts, Rows, attempt, filled, without
from bench.evaluation.routes import Route, routes
from bench.evaluation.unfinished import Unfinished
from bench.methods.finite import complaint, lost
from bench.records.records import Measurement

LOST = "lost_points"


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
    """The exact NLL of the first n test samples and the defensive one, where the data has a density."""
    joined = dataset.joined
    log_prob, n = joined.log_prob, min(n, len(joined.test))
    if log_prob is None:
        return []
    exact = {"split": joined.held_out, "density": "exact"}
    plain = Measurement("nll_floor", n=n, settings=exact)
    bounded = Measurement("nll_defensive_floor", n=n, settings={**exact, **defensive.settings(dataset)})

    def make() -> Rows:
        log_p, what = log_prob(joined.test[:n].double())[None], "exact log-densities"
        rest = attempt([bounded], lambda: _defensive([bounded], log_p, dataset, what))
        return [*_plain([plain], log_p, dataset, what), *rest]

    return attempt([plain, bounded], make)


def _count(route: Route) -> int:
    return min(route.config.n, len(route.trained.dataset.test))


def _draws(route: Route) -> list[int]:
    return sorted({1, *route.config.draws}) if route.trained.dataset.is_image else [1]


def _of_draws(route: Route, settings: dict[str, Any]) -> Rows:
    """The NLL of K draws, what several probes leave in it, and the defensive one with its lost points: no values."""
    n, dataset = _count(route), route.trained.dataset
    unit = "bpd" if dataset.levels else "nats"
    metrics = [f"{route.metric}_{unit}", *["nll_probe_stderr"] * ((settings.get("probes") or 1) > 1)]
    rows = [Measurement(metric, n=n, settings=settings) for metric in metrics]
    mixture = {**settings, **defensive.settings(dataset)}
    bounded = [f"nll_defensive_{unit}", LOST] if route.metric == "nll" else []
    return rows + [Measurement(metric, n=n, settings=mixture) for metric in bounded]


def _nll(route: Route, rows: Rows, log_p: Tensor, variance: Tensor, seconds: float) -> Rows:
    """The rows of `_of_draws` by the log-densities of K draws, (K, n), and their variances over probes."""
    dataset, what = route.trained.dataset, "log-densities"
    rows = [replace(row, seconds=seconds) for row in rows]
    bounded = [row for row in rows if "epsilon" in row.settings]
    plain = _plain(rows[: len(rows) - len(bounded)], log_p, dataset, what, variance)
    return plain + (attempt(bounded, lambda: _defensive(bounded, log_p, dataset, what)) if bounded else [])


def _plain(rows: Rows, log_p: Tensor, dataset: Dataset, what: str, variance: Tensor | None = None) -> Rows:
    """The mean of -log p, and what the variance over probes leaves in it.

    An infinite log-density among the draws would vanish in the bound or make it perfect: then there is no value.
    """
    n = log_p.shape[1]
    if reason := complaint(lost(log_p.T), n, what):
        return without(rows, reason)
    values = {rows[0].metric: _mean(_cost(_log_mean(log_p), dataset))}
    if variance is not None:
        noise = (log_p.softmax(0).square() * variance).sum(0).sum().sqrt() / n
        values["nll_probe_stderr"] = float(noise) / (dataset.dim * math.log(2) if dataset.levels else 1), None
    return filled(rows, values)


def _defensive(rows: Rows, log_p: Tensor, dataset: Dataset, what: str) -> Rows:
    """The defensive NLL and the lost points, of which a log-density of -inf is one; NaN and inf are no densities."""
    n = log_p.shape[1]
    vanishes = log_p == -math.inf
    if reason := complaint(lost(log_p.masked_fill(vanishes, 0).T), n, what):
        return without(rows, reason)
    found, is_lost = defensive.mixed(_log_mean(log_p), defensive.log_broad(dataset, n))
    return filled(rows, {rows[0].metric: _mean(_cost(found, dataset)), LOST: float(is_lost.sum())})


def _log_mean(log_p: Tensor) -> Tensor:
    """log (1/K) sum_k p of K draws, (K, n) -> (n,)."""
    return torch.logsumexp(log_p, 0) - math.log(len(log_p))


def _cost(log_p: Tensor, dataset: Dataset) -> Tensor:
    """-log p in nats, in bits/dim of images."""
    return bits_per_dim(log_p, dataset.dim, dataset.levels) if dataset.levels else -log_p


def _mean(values: Tensor) -> tuple[float, float | None]:
    return float(values.mean()), float(values.std() / len(values) ** 0.5) if len(values) > 1 else None
