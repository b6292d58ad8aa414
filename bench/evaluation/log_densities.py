"""Log-densities of held-out samples by a route, batch by batch, in every draw of their dequantisation."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.errors import NotApplicable
from bench.evaluation.clock import now
from bench.evaluation.lost import costs_a_part
from bench.evaluation.lost import reason as reason_of
from bench.evaluation.routes import Route
from bench.evaluation.trained import Trained
from bench.evaluation.unfinished import Unfinished
from bench.training import ranks
from bench.training.seeds import generator, per_sample


@dataclass(frozen=True)
class LogDensities:
    """log p of each draw and sample, (K, n), its variance over probes and cost; why draws are missing at the end."""

    log_p: Tensor
    variance: Tensor
    nfe: float
    seconds: float
    reason: str | None


def in_model_space(trained: Trained, stored: Tensor, k: int, start: int) -> Tensor:
    """Stored samples from `start` on, in the k-th draw of what their encoding leaves to chance.

    NotApplicable if that keeps no density.
    """
    dataset, seed = trained.dataset, trained.seed
    if not dataset.keeps_density:
        raise NotApplicable(f"the map of {dataset.name} from data to model space keeps no density")
    if dataset.space is not None:
        return dataset.encode(stored, generator(seed, f"encode-{k}", start, stored.device))
    if not dataset.is_image:
        return stored
    stop, stream = start + len(stored), f"dequantise-{k}"
    u = per_sample(lambda g: torch.rand(dataset.shape, generator=g), seed, stream, start, stop, trained.device)
    return dataset.scale(stored, u)


def log_densities(route: Route, n: int, draws: int, unfinished: Unfinished) -> LogDensities:
    """Every batch of every draw, each on one rank; NFE is the mean of the batches', weighed by their samples."""
    trained, batch = route.trained, route.config.batch
    dataset, device = trained.dataset, trained.device
    log_p, variance = torch.zeros(2, draws, n, dtype=torch.float64)
    evaluations, seconds = torch.zeros(2, draws, dtype=torch.float64)

    def find(k: int, start: int, stop: int) -> dict[str, Any]:
        begun = now(device)
        x = in_model_space(trained, dataset.test[start:stop].to(device), k, start)
        net = trained.network(start, stop, held_out=True)
        found, variance = (value.double().cpu().numpy() for value in route.log_p(net, x, k, start))
        return {
            "log_p": found + dataset.log_volume,
            "variance": variance,
            "nfe": net.rows / (stop - start),
            "seconds": now(device) - begun,
        }

    error, reached = None, draws
    batches = [(k, start) for k in range(draws) for start in range(0, n, batch)]
    for k, start in ranks.mine(batches):
        stop = min(start + batch, n)
        try:
            part = unfinished.once(f"{route.name}-{k}-{start}", find, k, start, stop)
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
