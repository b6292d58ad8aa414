"""The sweep: quality, seconds and the ODE's own error at few evaluations, for every sampler."""

import math
from dataclasses import replace
from functools import partial as bound
from typing import Any

from bench.config.sampling import swept
from bench.config.settings import Sweep
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.partial import Partial
from bench.evaluation.parts import Arrays, Parts, Rows, attempt
from bench.evaluation.pictures import FEW_IMAGES, FEW_POINTS, Shown, for_plots
from bench.evaluation.quality import quoted
from bench.evaluation.solver_error import SolverError
from bench.methods.sampler import Sampler
from bench.records.records import Measurement

GRID = (4, 8, 10, 20, 40, 60, 100)  # evaluations of the midpoint rule whose samples are kept


def measure_sweep(evaluator: Evaluator, config: Sweep, parts: Parts) -> None:
    model, batch = evaluator.trained.model(), config.batch or config.n
    error = SolverError(evaluator.trained, config.error_n, batch, parts.partial) if config.error_n else None
    for sampler in swept(config):
        settings = evaluator.drawing(sampler.label, batch, **sampler.settings(model))
        of_ode = error if "velocity" in sampler.needs else None
        parts.measure(
            f"sweep {sampler}",
            bound(_swept, evaluator, config.n, batch, sampler, settings, of_ode),
            bound(_not_swept, evaluator, config.n, settings, _cost(sampler), of_ode),
            _accuracy(sampler),
        )
    if parts.arrays:
        parts.arrays["extent"] = evaluator.dataset.extent


def _cost(sampler: Sampler) -> dict[str, float]:
    """The evaluations of a sampler of so many steps, where nothing has counted them."""
    steps = getattr(sampler, "steps", None)
    return {"nfe": float(steps * sampler.evaluations_a_step)} if steps else {}


def _accuracy(sampler: Sampler) -> str:
    if nfe := _cost(sampler).get("nfe"):
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
    nfe, seconds = evaluator.drawn(f"{sampler}", evaluator.trained.by(sampler), n, batch, quality, partial, shown)
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
