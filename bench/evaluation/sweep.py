"""The sweep: quality, seconds and the ODE's own error at few evaluations, for every sampler."""

import math
from dataclasses import replace
from functools import partial as bound
from typing import Any

import torch

from bench.config.sampling import swept
from bench.config.settings import Sweep
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.lost import costs_a_part
from bench.evaluation.partial import Partial
from bench.evaluation.parts import Arrays, Parts, Rows, attempt
from bench.evaluation.pictures import FEW_IMAGES, FEW_POINTS, Shown, for_plots
from bench.evaluation.quality import quoted
from bench.evaluation.solver_error import SolverError
from bench.evaluation.trained import Trained
from bench.methods.sampler import Sampler
from bench.records.records import Measurement

GRID = (4, 8, 10, 20, 40, 60, 100)  # evaluations of the midpoint rule whose samples are kept


def measure_sweep(evaluator: Evaluator, config: Sweep, parts: Parts) -> None:
    batch = config.batch or config.n
    error = SolverError(evaluator.trained, config.error_n, batch, parts.partial) if config.error_n else None
    rows = _rows_an_evaluation(evaluator.trained)
    for sampler in swept(config):
        settings = evaluator.drawing(sampler, batch)
        of_ode = error if "velocity" in sampler.needs else None
        parts.measure(
            f"sweep {sampler}",
            bound(_swept, evaluator, config.n, batch, sampler, settings, of_ode),
            bound(_not_swept, evaluator, config.n, settings, _cost(sampler, rows), of_ode),
            _accuracy(sampler, rows),
        )
    if parts.arrays:
        parts.arrays["extent"] = evaluator.dataset.extent


def _rows_an_evaluation(trained: Trained) -> int:
    """What the network counts of one evaluation of the field: 2 under guidance."""
    net = trained.network(0, 1)
    model = trained.model_of(net)
    field = model.velocity or model.eps or model.score
    try:
        with torch.no_grad():
            if field:
                field(torch.tensor(model.t_end / 2, device=trained.device), trained.noise(0, 1))
    except Exception as error:
        if not costs_a_part(error):
            raise
    return net.rows or 1


def _cost(sampler: Sampler, rows: int) -> dict[str, float]:
    """The evaluations of a sampler of so many steps, where nothing has counted them."""
    steps = getattr(sampler, "steps", None)
    return {"nfe": float(steps * sampler.evaluations_a_step * rows)} if steps else {}


def _accuracy(sampler: Sampler, rows: int) -> str:
    if nfe := _cost(sampler, rows).get("nfe"):
        return f"at {nfe:g} evaluations"
    return f"at tolerance {sampler.rtol:g}" if hasattr(sampler, "rtol") else ""


def _swept(
    evaluator: Evaluator,
    n: int,
    batch: int,
    sampler: Sampler,
    settings: dict[str, Any],
    error: SolverError | None,
    partial: Partial,
) -> tuple[Rows, Arrays]:
    quality = evaluator.judge.quality(n, "sweep")
    shown = Shown(FEW_IMAGES if evaluator.dataset.is_image else FEW_POINTS)
    nfe, seconds = evaluator.drawn(f"{sampler}", sampler, n, batch, quality, partial, shown)
    rows = [*quoted(quality.measured(), settings), Measurement("sampling_seconds", seconds, n=n, settings=settings)]
    if error:
        rows += attempt(bound(error.measured, sampler, settings), bound(error.blank, settings), alone=False)
    rows = [replace(row, place={"nfe": nfe}) for row in rows]
    if sampler.label == "midpoint" and nfe in GRID:
        return rows, {f"samples_midpoint_{nfe:g}": for_plots(shown.gathered())}
    return rows, {}


def _not_swept(
    evaluator: Evaluator,
    n: int,
    settings: dict[str, Any],
    place: dict[str, float],
    error: SolverError | None,
    reason: str,
) -> Rows:
    rows = quoted(evaluator.judge.quality(n, "sweep").measured(reason), settings)
    rows.append(Measurement("sampling_seconds", math.nan, n=n, settings=settings, reason=reason))
    rows += error.blank(settings, reason) if error else []
    return [replace(row, place=place) for row in rows]
