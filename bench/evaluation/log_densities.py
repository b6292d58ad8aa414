"""Log-densities of test samples, batch by batch, in every draw of their dequantisation."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.config.settings import Likelihood
from bench.datasets.base import Dataset
from bench.evaluation.clock import now
from bench.evaluation.lost import costs_a_part
from bench.evaluation.lost import reason as reason_of
from bench.evaluation.partial import Partial
from bench.evaluation.trained import Trained
from bench.methods.density import log_density
from bench.methods.memory import Memory
from bench.methods.ode import Solver
from bench.training import ranks
from bench.training.seeds import per_sample


def draws_of(dataset: Dataset, config: Likelihood) -> list[int]:
    """Every K that is measured."""
    return sorted({1, *config.draws}) if dataset.is_image else [1]


@dataclass(frozen=True)
class LogDensities:
    """log p of every dequantisation and test sample, (K, n), its variance over probes, and what it cost.

    Draws from the first that failed on are left out; the reason says why.
    """

    log_p: Tensor
    variance: Tensor
    nfe: float
    seconds: float
    reason: str | None


def log_densities(
    trained: Trained,
    n: int,
    solver: Solver,
    config: Likelihood,
    probes: int | None,
    partial: Partial,
) -> LogDensities:
    """Solve every batch of every draw, each on one rank; NFE is the mean of the batches', weighed by their samples."""
    dataset, seed, device = trained.dataset, trained.seed, trained.device
    draws = draws_of(dataset, config)[-1]
    log_p, variance = torch.zeros(2, draws, n, dtype=torch.float64)
    evaluations, seconds = torch.zeros(2, draws, dtype=torch.float64)
    net = trained.network()
    model, memory = trained.baseline.model(net), Memory(counter=net)
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
    batches = [(k, start) for k in range(draws) for start in range(0, n, config.batch)]
    for k, start in ranks.mine(batches):
        stop = min(start + config.batch, n)
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
    return LogDensities(ranks.total(log_p)[:whole], ranks.total(variance)[:whole], nfe, spent, why)


def _uniform(shape: tuple[int, ...], seed: int, k: int, start: int, stop: int, device: str) -> Tensor:
    """Offsets u_k of samples start ... stop - 1."""
    return per_sample(lambda g: torch.rand(shape, generator=g), seed, f"dequantise-{k}", start, stop, device)


def _probes(shape: tuple[int, ...], seed: int, k: int, start: int, stop: int, device: str) -> Tensor:
    """Rademacher probes of samples start ... stop - 1 in the k-th draw, shape (probes, stop - start, ...)."""

    def draw(g: torch.Generator) -> Tensor:
        return torch.randint(0, 2, shape, generator=g).float() * 2 - 1

    return per_sample(draw, seed, f"probe-{k}", start, stop, device).transpose(0, 1)
