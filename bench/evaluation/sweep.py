"""The sweep: quality, seconds and the ODE's own error at few evaluations, for every sampler."""

from dataclasses import replace
from functools import cache, partial
from typing import Any

import torch

from bench.config.sampling import swept
from bench.config.settings import Sweep
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.floors import floors
from bench.evaluation.lost import costs_a_part
from bench.evaluation.parts import Arrays, Parts, Rows, attempt, filled
from bench.evaluation.pictures import FEW_IMAGES, FEW_POINTS, Shown, for_plots, of_points
from bench.evaluation.solver_error import SolverError
from bench.evaluation.trained import Trained
from bench.evaluation.unfinished import Unfinished
from bench.methods.sampler import Sampler
from bench.records.kept import is_kept, name_of
from bench.records.records import Measurement


def measure_sweep(evaluator: Evaluator, config: Sweep, parts: Parts) -> None:
    batch = config.batch or config.n
    error = SolverError(evaluator.trained, config.error_n, batch, parts.unfinished)
    rows = cache(partial(rows_an_evaluation, evaluator.trained))
    for sampler in swept(config):
        nfe = float(sampler.evaluations * rows(sampler.guidance)) if sampler.evaluations else None
        of_ode = error if config.error_n and sampler.order else None
        _measure_sampler(evaluator, sampler, config.n, batch, nfe, of_ode, parts)
    parts.rows += floors(evaluator.judge, config.n, "sweep")
    if parts.arrays:
        parts.arrays["extent"] = evaluator.dataset.extent


def _measure_sampler(
    evaluator: Evaluator,
    sampler: Sampler,
    n: int,
    batch: int,
    nominal: float | None,
    error: SolverError | None,
    parts: Parts,
) -> None:
    """A part of the sweep: one sampler, which stands at its `nominal` evaluations if nothing counts them."""
    quote = evaluator.drawing(sampler, batch)
    quality = evaluator.judge.quality(n, "sweep", quote)
    seconds = [Measurement("sampling_seconds", n=n, settings=quote)]
    errors = [error.row(quote)] if error else []

    def make(unfinished: Unfinished) -> tuple[Rows, Arrays]:
        shown = Shown(FEW_IMAGES if evaluator.dataset.is_image else FEW_POINTS)
        nfe, spent = evaluator.drawn(f"{sampler}", sampler, batch, quality, unfinished, shown)
        rows = quality.measured() + filled(seconds, {"sampling_seconds": spent})
        if error:
            rows += attempt(errors, lambda: filled(errors, {"ode_error": error.measured(sampler)}), alone=False)
        draw = for_plots if evaluator.dataset.is_image else partial(of_points, evaluator.dataset)
        arrays = {name_of(sampler.label, nfe): draw(shown.gathered())} if is_kept(sampler.label, nfe) else {}
        return [replace(row, place={"nfe": nfe}) for row in rows], arrays

    where = f"at tolerance {sampler.rtol:g}" if hasattr(sampler, "rtol") else ""
    place = {} if nominal is None else {"nfe": nominal}
    rows = [replace(row, place=place) for row in quality.rows + seconds + errors]
    parts.measure(f"sweep {sampler}", rows, make, where if nominal is None else f"at {nominal:g} evaluations")


def rows_an_evaluation(trained: Trained, guidance: float) -> int:
    """What the network counts of one evaluation of the model: 2 under guidance."""
    net = trained.network(0, 1)
    model = trained.model_of(net)
    if guidance != 1 and model.guidance:
        model = model.guidance(guidance)
    field: Any = model.velocity or model.eps or model.score or model.consistency
    half = torch.tensor(model.t_end / 2, device=trained.device)
    try:
        with torch.no_grad():
            if field:
                field(half, trained.noise(0, 1))
            elif model.flow_map:
                model.flow_map(half, half, trained.noise(0, 1))
    except Exception as error:
        if not costs_a_part(error):
            raise
    return net.rows or 1
