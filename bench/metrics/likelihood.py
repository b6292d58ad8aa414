"""Negative log-likelihood: nats for points, bits/dim for images.

    NLL = -E log p(x),        bits/dim = -log p(x) / (d ln 2) + log2(L / 2)      for L grey levels scaled to [-1, 1].

An image is dequantised K times with u_k ~ U[0, 1): log (1/K) sum_k p(x + u_k) bounds the log-probability of the
integers from below and tightens with K (Lipman et al. 2023, appendix; Burda et al. 2016). One pass measures both
K = 1 and K = `draws`. The divergence is exact up to EXACT_DIMENSIONS unless said otherwise, Hutchinson's above.
"""

import math

import torch
from torch import Tensor

from bench.datasets.base import Dataset
from bench.metrics.clock import now
from bench.ode import Solver, VelocityField, log_density
from bench.records import Measurement
from bench.seeds import per_sample
from bench.suite import Likelihood

EXACT_DIMENSIONS = 64


def bits_per_dim(log_p: Tensor, dim: int, levels: int) -> Tensor:
    """bits/dim of integers whose dequantised values have log-density log_p (nats) on [-1, 1]^dim."""
    return -log_p / (dim * math.log(2)) + math.log2(levels / 2)


def likelihood(
    f: VelocityField,
    dataset: Dataset,
    t_end: float,
    settings: Likelihood,
    seed: int,
    device: str,
    weights: str,
) -> list[Measurement]:
    """NLL of the first n test samples with every solver asked for, its NFE and seconds, and the exact floor.

    Args:
        weights: "ema" or "raw", quoted in the records.

    Raises:
        Diverged: a solve failed.
    """
    n = min(settings.n, len(dataset.test))
    exact = settings.divergence == "exact" or (settings.divergence == "auto" and dataset.dim <= EXACT_DIMENSIONS)
    rows = []
    for solve in settings.solvers:
        solver = Solver(**solve.model_dump())
        quote = {
            **solver.settings(),
            "divergence": "exact" if exact else "hutchinson",
            "probes": None if exact else settings.probes,
            "dequantisation": "uniform" if dataset.is_image else None,
            "batch": settings.batch,
            "split": "test",
            "weights": weights,
        }
        begun = now(device)
        log_p, nfe = _log_p(f, dataset, n, t_end, solver, settings, None if exact else settings.probes, seed, device)
        seconds = now(device) - begun
        for draws in sorted({1, len(log_p)}):
            bound = torch.logsumexp(log_p[:draws], 0) - math.log(draws)
            nll = bits_per_dim(bound, dataset.dim, dataset.levels) if dataset.levels else -bound
            metric = "nll_bpd" if dataset.levels else "nll_nats"
            rows.append(_mean(metric, nll, {**quote, "draws": draws}, seconds))
        rows.append(Measurement("nfe_likelihood", nfe, None, n, seconds, quote))
        rows.append(Measurement("likelihood_seconds", seconds, None, n * len(log_p), seconds, quote))
    if dataset.log_prob is not None:
        floor = -dataset.log_prob(dataset.test[:n].double())
        rows.append(_mean("nll_floor", floor, {"split": "test", "density": "exact"}, None))
    return rows


def _mean(metric: str, values: Tensor, quote: dict[str, object], seconds: float | None) -> Measurement:
    stderr = float(values.std() / len(values) ** 0.5) if len(values) > 1 else None
    return Measurement(metric, float(values.mean()), stderr, len(values), seconds, quote)


def _log_p(
    f: VelocityField,
    dataset: Dataset,
    n: int,
    t_end: float,
    solver: Solver,
    settings: Likelihood,
    probes: int | None,
    seed: int,
    device: str,
) -> tuple[Tensor, float]:
    """log p of every dequantisation and test sample, (K, n), and the mean over them of their batch's evaluations."""
    draws = settings.draws if dataset.is_image else 1
    shape = dataset.shape
    rows, evaluations = [], 0
    for k in range(draws):
        parts = []
        for start in range(0, n, settings.batch):
            stop = min(start + settings.batch, n)
            x = dataset.test[start:stop].to(device)
            if dataset.is_image:
                u = per_sample(lambda g: torch.rand(shape, generator=g), seed, f"dequantise-{k}", start, stop, device)
                x = dataset.scale(x, u)
            z = None
            if probes is not None:
                size = (probes, *shape)
                z = per_sample(
                    lambda g, size=size: torch.randint(0, 2, size, generator=g).float() * 2 - 1,  # type: ignore[misc]
                    seed,
                    f"probe-{k}",
                    start,
                    stop,
                    device,
                ).transpose(0, 1)
            density = log_density(f, x, t_end, solver, z)
            parts.append(density.log_p.double().cpu())
            evaluations += density.nfe * (stop - start)
        rows.append(torch.cat(parts))
    return torch.stack(rows), evaluations / (draws * n)


def log_density_grid(f: VelocityField, extent: float, t_end: float, device: str, size: int = 80) -> Tensor:
    """log p on a size x size grid of the square [-extent, extent]^2, rows by ascending second coordinate."""
    axis = (torch.arange(size, device=device) + 0.5) / size * 2 * extent - extent
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    points = torch.stack([x.flatten(), y.flatten()], 1)
    return log_density(f, points, t_end, Solver("dopri5", 1e-4, 1e-4)).log_p.reshape(size, size).cpu()
