"""Seconds of each stage of a run, from those of its parts and the number of each; batches are taken to be alike.

    train       start + steps x step + points of the curve x one validation
    likelihood  draws x samples x (start + evaluations x one) for each route, pictures included
    samples     for each way and repeat n samples and their metrics, and the paths
    sweep       for each sampler n samples and their metrics, and its error against 1000 evaluations

Evaluations of an adaptive solver are a guess (bench/estimate/guess.py), all others are counted.
"""

from typing import Protocol

from bench.config.curve import curve_likelihood
from bench.config.sampling import swept
from bench.config.settings import Likelihood, Samples, Stage
from bench.config.suite import Run
from bench.estimate.guess import Guess
from bench.evaluation.density import SIZE, TIMES
from bench.evaluation.routes import ByODE, Route
from bench.evaluation.solver_error import REFERENCE
from bench.evaluation.trained import Way
from bench.methods.ode import EVALUATIONS_A_STEP

PICTURED = 1e-4  # tolerance of a density's picture
Line = tuple[float, float]  # seconds at no evaluation, and of each


class Parts(Protocol):
    """What the parts of a cell's work take, in seconds."""

    start: float
    is_image: bool
    is_flow: bool  # whether there is a velocity, whose paths are followed
    is_pictured: bool  # whether its density is

    def step(self) -> tuple[float, float]:
        """Of a training step, and the evaluations that it counts."""

    def ways(self) -> list[Way]:
        """Of drawing in the stage of samples; the headline's is first."""

    def evaluations(self, way: Way) -> float | None:
        """Of the network by a way for one sample; None: an adaptive solver's, and 0 if it is not applicable."""

    def tolerance(self, way: Way) -> float: ...

    def drawing(self, rows: int) -> Line:
        """Of a batch of samples."""

    def routes(self, config: Likelihood) -> list[Route]: ...

    def density(self, route: Route, rows: int) -> Line:
        """Of the log-densities of a batch."""

    def metrics(self, stage: str, n: int) -> float: ...

    def coupling(self, n: int) -> float:
        """Of the optimal transport that paths are compared with."""

    def held_out(self, n: int) -> int:
        """How many samples of n there are."""


def stages(run: Run, parts: Parts, guess: Guess) -> dict[Stage, float]:
    """Seconds of each stage that the run has."""
    of = {"train": _train, "likelihood": _likelihood, "samples": _samples, "sweep": _sweep}
    return {stage: of[stage](run, parts, guess) for stage in run.stages}


def _train(run: Run, parts: Parts, guess: Guess) -> float:
    t = run.training
    if t.weights:
        return parts.start
    step, evaluations = parts.step()
    budgets = [t.steps and t.steps * step, t.seconds, t.evaluations and t.evaluations / max(1.0, evaluations) * step]
    return parts.start + min(b for b in budgets if b) + t.curve_points * validation(run, parts, guess)


def validation(run: Run, parts: Parts, guess: Guess) -> float:
    """Seconds of one point of the curve."""
    n = run.training.curve_n
    few = curve_likelihood(run.evaluation, n)
    found = sum(_density(parts, route, few, 1, guess) for route in parts.routes(few))
    return (
        found
        + _drawn(parts, parts.ways()[0], n, (run.evaluation.samples or Samples()).batch, guess)
        + parts.metrics("curve", n)
    )


def _likelihood(run: Run, parts: Parts, guess: Guess) -> float:
    config = run.evaluation.likelihood
    assert config
    draws = max(1, *config.draws) if parts.is_image else 1
    routes = parts.routes(config)
    found = sum(_density(parts, route, config, draws, guess) for route in routes)
    if parts.is_pictured and routes:
        start, each = parts.density(routes[0], SIZE**2)
        evaluations = guess.of("likelihood", PICTURED) if isinstance(routes[0], ByODE) else 0.0
        shares = TIMES if evaluations else TIMES[-1:]
        found += sum(start + share * evaluations * each for share in shares)
    return found


def _density(parts: Parts, route: Route, config: Likelihood, draws: int, guess: Guess) -> float:
    n = parts.held_out(config.n)
    rows = min(n, config.batch)
    start, each = parts.density(route, rows)
    evaluations = 0.0
    if isinstance(route, ByODE):
        solver = route.solver
        fixed = solver.steps and solver.steps * EVALUATIONS_A_STEP[solver.method]
        evaluations = float(fixed or guess.of("likelihood", solver.rtol))
    return draws * n / rows * (start + evaluations * each)


def _samples(run: Run, parts: Parts, guess: Guess) -> float:
    config, ways = run.evaluation.samples, parts.ways()
    assert config
    n = config.n
    found = sum(_drawn(parts, way, n, config.batch, guess) + parts.metrics("samples", n) for way in ways)
    found *= config.repeats
    if parts.is_flow:
        start, each = parts.drawing(config.path_n)
        evaluations = _evaluations(parts, ways[0], guess) + config.path_times
        found += start + evaluations * each + parts.coupling(min(config.w2_n, config.path_n))
    return found


def _sweep(run: Run, parts: Parts, guess: Guess) -> float:
    config = run.evaluation.sweep
    assert config
    found = 0.0
    samplers = [sampler for sampler in swept(config) if parts.evaluations(sampler) != 0]
    for sampler in samplers:
        found += _drawn(parts, sampler, config.n, config.batch or config.n, guess) + parts.metrics("sweep", config.n)
    solving = [sampler for sampler in samplers if sampler.order]
    if config.error_n and solving:
        rows = min(config.batch or config.n, config.error_n)
        start, each = parts.drawing(rows)
        scales = {sampler.guidance for sampler in solving}
        found += len(scales) * config.error_n / rows * (start + REFERENCE * each)
        found += sum(_drawn(parts, sampler, config.error_n, rows, guess) for sampler in solving)
    return found


def _drawn(parts: Parts, way: Way, n: int, batch: int, guess: Guess) -> float:
    """Seconds of n samples, `batch` at a time."""
    rows = min(n, batch)
    start, each = parts.drawing(rows)
    evaluations = _evaluations(parts, way, guess)
    return n / rows * (start + evaluations * each) if evaluations else 0.0


def _evaluations(parts: Parts, way: Way, guess: Guess) -> float:
    counted = parts.evaluations(way)
    return guess.of("samples", parts.tolerance(way)) if counted is None else counted
