"""The sweep: quality, seconds and the ODE's own error at few evaluations, for every solver."""

import math
from functools import partial as bound

from bench.config.settings import Sweep
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.partial import Partial
from bench.evaluation.parts import Arrays, Parts, Rows, attempt
from bench.evaluation.pictures import FEW_IMAGES, FEW_POINTS, Shown, for_plots
from bench.evaluation.quality import quoted
from bench.evaluation.solver_error import SolverError
from bench.evaluation.trained import seconds_row
from bench.methods.ode import EVALUATIONS_A_STEP, Solver

GRID = (4, 8, 10, 20, 40, 60, 100)  # evaluations of the midpoint rule whose samples are kept


def measure_sweep(evaluator: Evaluator, config: Sweep, parts: Parts) -> None:
    costs = {method: EVALUATIONS_A_STEP[method] for method in config.solvers}
    solvers = [Solver(m, steps=nfe // cost) for m, cost in costs.items() for nfe in config.nfe if nfe % cost == 0]
    solvers += [Solver("dopri5", tolerance, tolerance) for tolerance in config.tolerances]
    batch = config.batch or config.n
    error = SolverError(evaluator.trained, config.error_n, batch, parts.partial) if config.error_n else None
    for solver in solvers:
        nfe = solver.steps * EVALUATIONS_A_STEP[solver.method] if solver.steps else None
        parts.measure(
            f"sweep {solver.settings()}",
            bound(_swept, evaluator, config.n, batch, solver, error),
            bound(_not_swept, evaluator, config.n, batch, solver, error, nfe),
            f"at {nfe} evaluations" if nfe else f"at tolerance {solver.rtol:g}",
        )
    if parts.arrays:
        parts.arrays["extent"] = evaluator.dataset.extent


def _swept(
    evaluator: Evaluator, n: int, batch: int, solver: Solver, error: SolverError | None, partial: Partial
) -> tuple[Rows, Arrays]:
    quality = evaluator.judge.quality(n, full=False)
    shown = Shown(FEW_IMAGES if evaluator.dataset.is_image else FEW_POINTS)
    name = f"{solver.settings()}"
    nfe, seconds = evaluator.drawn(name, evaluator.trained.solved(solver), n, batch, quality, partial, shown)
    settings = evaluator.drawing(solver.method, batch, **solver.settings(), nfe=nfe)
    rows = [*quoted(quality.measured(), settings), seconds_row(seconds, n, settings)]
    if error:
        rows += attempt(bound(error.measured, solver, settings), bound(error.blank, settings), alone=False)
    if solver.method == "midpoint" and nfe in GRID:
        return rows, {f"samples_midpoint_{nfe:g}": for_plots(shown.gathered())}
    return rows, {}


def _not_swept(
    evaluator: Evaluator, n: int, batch: int, solver: Solver, error: SolverError | None, nfe: int | None, reason: str
) -> Rows:
    settings = evaluator.drawing(solver.method, batch, **solver.settings(), **({"nfe": float(nfe)} if nfe else {}))
    rows = quoted(evaluator.judge.quality(n, full=False).measured(reason), settings)
    rows.append(seconds_row(math.nan, n, settings, reason))
    return rows + (error.blank(settings, reason) if error else [])
