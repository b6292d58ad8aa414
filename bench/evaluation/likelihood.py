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
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.config.settings import Likelihood
from bench.datasets.base import Dataset
from bench.evaluation.clock import now
from bench.evaluation.drawing import Source
from bench.evaluation.lost import costs_a_part
from bench.evaluation.lost import reason as reason_of
from bench.evaluation.partial import Partial
from bench.methods.finite import complaint, lost
from bench.methods.memory import Memory
from bench.methods.ode import Solver, log_density
from bench.records.records import Measurement
from bench.training import ranks
from bench.training.seeds import per_sample

EXACT_DIMENSIONS = 64


def bits_per_dim(log_p: Tensor, dim: int, levels: int) -> Tensor:
    """bits/dim of integers whose dequantised values have log-density log_p (nats) on [-1, 1]^dim."""
    return -log_p / (dim * math.log(2)) + math.log2(levels / 2)


def by_solver(
    source: Source, asked: Likelihood, solver: Solver, weights: str, partial: Partial | None = None
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
    dataset, settings = source.dataset, _settings(source, asked, solver, weights)
    n = min(asked.n, len(dataset.test))
    found = _densities(source, n, solver, asked, settings["probes"], partial or Partial())
    draws = len(found.log_p)
    rows: list[Measurement] = []
    for k in _draws(dataset, asked):
        own = {**settings, "draws": k}
        if k <= draws:
            rows += _bound(found.log_p[:k], found.variance[:k], dataset, own, found.seconds)
        else:
            rows += _no_bound(dataset, n, own, found.reason)
    rows.append(Measurement("nfe_likelihood", found.nfe, None, n, found.seconds, settings))
    rows.append(Measurement("likelihood_seconds", found.seconds, None, n * draws, found.seconds, settings))
    return rows


def blank(source: Source, asked: Likelihood, solver: Solver, weights: str, reason: str) -> list[Measurement]:
    """What `by_solver` measures, without values."""
    dataset, settings = source.dataset, _settings(source, asked, solver, weights)
    n, draws = min(asked.n, len(dataset.test)), _draws(dataset, asked)
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


def _settings(source: Source, asked: Likelihood, solver: Solver, weights: str) -> dict[str, Any]:
    """What every measurement by a solver depends on."""
    dataset = source.dataset
    exact = asked.divergence == "exact" or (asked.divergence == "auto" and dataset.dim <= EXACT_DIMENSIONS)
    return {
        **solver.settings(),
        "divergence": "exact" if exact else "hutchinson",
        "probes": None if exact else asked.probes,
        "dequantisation": "uniform" if dataset.is_image else None,
        "batch": asked.batch,
        "split": "test",
        "weights": weights,
    }


def _draws(dataset: Dataset, asked: Likelihood) -> list[int]:
    """Every K that is measured."""
    return sorted({1, *asked.draws}) if dataset.is_image else [1]


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


@dataclass(frozen=True)
class _Densities:
    """log p of every dequantisation and test sample, (K, n), its variance over probes, and what it cost.

    Draws from the first that failed on are left out; the reason says why.
    """

    log_p: Tensor
    variance: Tensor
    nfe: float
    seconds: float
    reason: str | None


def _densities(
    source: Source,
    n: int,
    solver: Solver,
    asked: Likelihood,
    probes: int | None,
    partial: Partial,
) -> _Densities:
    """Solve every batch of every draw, each on one rank; NFE is the mean of the batches', weighed by their samples."""
    dataset, seed, device = source.dataset, source.seed, source.device
    draws = _draws(dataset, asked)[-1]
    log_p, variance = torch.zeros(2, draws, n, dtype=torch.float64)
    evaluations, seconds = torch.zeros(2, draws, dtype=torch.float64)
    net = source.network()
    model, memory = source.baseline.model(net), Memory(counter=net)
    f = model.having("velocity")

    def solve(k: int, start: int, stop: int) -> dict[str, Any]:
        begun = now(device)
        x = dataset.test[start:stop].to(device)
        if dataset.is_image:
            x = dataset.scale(x, _uniform(dataset.shape, seed, k, start, stop, device))
        z = None if probes is None else _probes((probes, *dataset.shape), seed, k, start, stop, device)
        before = net.rows
        density = log_density(f, x, model.t_end, solver, z, memory)
        found = {"log_p": density.log_p.double().cpu().numpy(), "variance": density.variance.double().cpu().numpy()}
        nfe = (net.rows - before) / (stop - start)
        return {**found, "nfe": np.array(nfe), "seconds": np.array(now(device) - begun)}

    error, reached = None, draws
    batches = [(k, start) for k in range(draws) for start in range(0, n, asked.batch)]
    for k, start in ranks.mine(batches):
        stop = min(start + asked.batch, n)
        name = f"{solver.settings()}-{k}-{start}"
        try:
            part = partial.once(name, lambda k=k, a=start, b=stop: solve(k, a, b))  # type: ignore[misc]
        except Exception as caught:
            if not costs_a_part(caught):
                raise
            error, reached = caught, k
            break
        log_p[k, start:stop] = torch.from_numpy(part["log_p"])
        variance[k, start:stop] = torch.from_numpy(part["variance"])
        evaluations[k] += float(part["nfe"]) * (stop - start)
        seconds[k] += float(part["seconds"])
    whole = -int(ranks.agreed(-reached)[0])  # the least over ranks
    why = None
    if whole < draws:
        try:
            ranks.together(error if reached == whole else None)
        except Exception as known:
            if whole == 0:
                raise
            why = reason_of(known, f"in draw {whole + 1}")
    ranks.total(evaluations)
    (spent,) = ranks.agreed(float(seconds[:whole].sum()))
    nfe = float(evaluations[:whole].sum()) / (whole * n)
    return _Densities(ranks.total(log_p)[:whole], ranks.total(variance)[:whole], nfe, spent, why)


def _uniform(shape: tuple[int, ...], seed: int, k: int, start: int, stop: int, device: str) -> Tensor:
    """Offsets u_k of samples start ... stop - 1."""
    return per_sample(lambda g: torch.rand(shape, generator=g), seed, f"dequantise-{k}", start, stop, device)


def _probes(shape: tuple[int, ...], seed: int, k: int, start: int, stop: int, device: str) -> Tensor:
    """Rademacher probes of samples start ... stop - 1 in the k-th draw, shape (probes, stop - start, ...)."""

    def draw(g: torch.Generator) -> Tensor:
        return torch.randint(0, 2, shape, generator=g).float() * 2 - 1

    return per_sample(draw, seed, f"probe-{k}", start, stop, device).transpose(0, 1)
