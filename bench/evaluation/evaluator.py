"""What is measured of a trained network, stage by stage and part by part.

likelihood  NLL in nats or bits/dim of test samples, its NFE and seconds; for 2-D data the density on a grid
samples     quality (W2 for points, feature distances for images), NFE, seconds, and the geometry of the paths
sweep       quality, seconds and the ODE's own error at few evaluations, for every solver
curve       a point of the validation curve: the NLL and the distance of a few samples

Of each part there is a function that measures it and one that gives the same measurements without values;
bench/evaluation/parts.py takes what cannot be had.
"""

import math
from collections.abc import Callable
from functools import partial as bound
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.config.settings import Likelihood, Samples, Sweep
from bench.evaluation import likelihood as nll
from bench.evaluation import pictures
from bench.evaluation.clock import peak_memory, reset_peak_memory
from bench.evaluation.drawing import Source, nfe_row, seconds_row
from bench.evaluation.geometry import follow, wasserstein2
from bench.evaluation.partial import Partial
from bench.evaluation.parts import Arrays, Log, Parts, Rows, attempt
from bench.evaluation.pictures import FEW_IMAGES, FEW_POINTS, IMAGES, POINTS, Shown, for_plots
from bench.evaluation.quality import Judge, Quality, quoted
from bench.evaluation.solver_error import SolverError
from bench.methods.ode import EVALUATIONS_A_STEP, Solver
from bench.records.records import Measurement
from bench.training import ranks

Draw = Callable[[int, int], tuple[Tensor, float]]
Settings = dict[str, Any]
GRID = (4, 8, 10, 20, 40, 60, 100)  # evaluations of the midpoint rule whose samples are kept
DENSITY_TIMES = (0.2, 0.4, 0.6, 0.8, 1.0)  # shares of the way to t_end at which a 2-D density is kept
DENSITY_SIZE = 80  # points a side of its grid


class Evaluator:
    """Measures one trained network of a run.

    Args:
        asked: how samples are drawn; the sweep and the curve go by its reference.
        weights: "ema" or "raw", quoted in the records.
    """

    def __init__(self, source: Source, judge: Judge, asked: Samples, weights: str, log: Log) -> None:
        self.source, self.judge, self.asked, self.weights, self.log = source, judge, asked, weights, log
        self.dataset, self.baseline, self.device = source.dataset, source.baseline, source.device
        self.solver = Solver(**asked.solver.model_dump())

    # The likelihood.

    def likelihood(self, asked: Likelihood, parts: Parts) -> None:
        for settings in asked.solvers:
            solver = Solver(**settings.model_dump())
            parts.measure(
                f"likelihood {solver.settings()}",
                bound(self._likelihood, asked, solver),
                bound(self._no_likelihood, asked, solver),
            )
        # One peak, of the solver that takes most.
        peaks = [row for row in parts.rows if row.metric == "peak_memory_bytes"]
        parts.rows = [row for row in parts.rows if row.metric != "peak_memory_bytes"]
        floor = bound(nll.floor, self.dataset, asked.n)
        parts.rows += attempt(floor, floor) + sorted(peaks, key=lambda row: -1 if row.reason else row.value)[-1:]
        if self.dataset.shape == (2,):
            self._densities(parts)

    def _likelihood(self, asked: Likelihood, solver: Solver, partial: Partial) -> tuple[Rows, Arrays]:
        reset_peak_memory(self.device)
        return [*nll.by_solver(self.source, asked, solver, self.weights, partial), self._peak({})], {}

    def _no_likelihood(self, asked: Likelihood, solver: Solver, reason: str) -> Rows:
        rows = nll.blank(self.source, asked, solver, self.weights, reason)
        return [*rows, Measurement("peak_memory_bytes", math.nan, reason=reason)]

    def _densities(self, parts: Parts) -> None:
        times = [share * self.source.model().t_end for share in DENSITY_TIMES]
        for i, t in enumerate(times):
            where, blank = f"at t = {t:.3g}", bound(pictures.lost, "density_picture", {"time": t})
            parts.measure(f"density {where}", bound(self._density, i, t), blank, where)
        nothing = np.full((DENSITY_SIZE, DENSITY_SIZE), np.nan, np.float16)  # of a time whose solve failed
        grids = [parts.arrays.pop(f"log_density_{i}", nothing) for i in range(len(times))]
        parts.arrays |= {"log_densities": np.stack(grids), "density_times": times, "extent": self.dataset.extent}

    def _density(self, i: int, t: float, _: Partial) -> tuple[Rows, Arrays]:
        with ranks.failing_together():
            grid = pictures.log_density_grid(self.source.field(), self.dataset.extent, t, self.device, DENSITY_SIZE)
        return [], {f"log_density_{i}": grid.half().numpy()}

    # Samples.

    def samples(self, parts: Parts) -> None:
        ways: dict[str, Draw] = {self.solver.method: self.source.solved(self.solver)}
        ways |= {name: self.source.native(name) for name in self.source.model(0, 1).samplers}
        for name, draw in ways.items():
            parts.measure(f"samples {name}", bound(self._samples, name, draw), bound(self._no_samples, name))
        parts.measure("paths", self._paths, self._no_paths)
        floor = bound(self.judge.floor, self.asked.n)
        parts.rows += attempt(floor, floor)

    def _samples(self, name: str, draw: Draw, partial: Partial) -> tuple[Rows, Arrays]:
        s, settings, first = self.asked, self._sampler(name), name == self.solver.method
        reset_peak_memory(self.device)
        quality = self._quality()
        shown = Shown(0 if not first else IMAGES if self.dataset.is_image else POINTS)
        nfe, seconds = self._drawn(name, draw, s.n, s.batch, quality, partial, shown)
        rows = [nfe_row(nfe, s.n, settings), seconds_row(seconds, s.n, settings)]
        if first:
            rows.append(self._peak(settings))
        rows += quoted(quality.measured(), settings)
        return rows, pictures.of_samples(self.dataset, shown.gathered()) if first else {}

    def _no_samples(self, name: str, reason: str) -> Rows:
        n, settings = self.asked.n, self._sampler(name)
        rows = [nfe_row(math.nan, n, settings, reason), seconds_row(math.nan, n, settings, reason)]
        if name == self.solver.method:
            rows.append(Measurement("peak_memory_bytes", math.nan, settings=settings, reason=reason))
        return rows + quoted(self._quality().measured(reason), settings)

    def _quality(self) -> Quality:
        return self.judge.quality(self.asked.n if self.dataset.is_image else min(self.asked.w2_n, self.asked.n))

    def _paths(self, _: Partial) -> tuple[Rows, Arrays]:
        """Energy and straightness of the paths of the first samples, and their picture."""
        s, arrays = self.asked, Arrays()
        with ranks.failing_together():
            noise = self.source.noise(0, s.path_n)
            field = self.source.field(0, s.path_n)
            paths = follow(field, noise, self.source.model().t_end, s.path_times, self.solver)
            rows = [
                Measurement("path_energy", paths.energy, paths.energy_stderr, s.path_n),
                Measurement("straightness", paths.straightness, paths.straightness_stderr, s.path_n),
            ]
            if n := self._coupled():
                optimal = wasserstein2(noise[:n], self.dataset.test[:n]) ** 2
                rows.append(Measurement("npe", abs(paths.energy - optimal) / optimal, n=n))

            def picture() -> Rows:
                arrays.update(pictures.of_paths(self.dataset, self.source.model().path, paths))
                return []

            lost = attempt(picture, bound(pictures.lost, "path_picture", {}))
        return quoted(rows, self._sampler(self.solver.method)) + lost, arrays

    def _no_paths(self, reason: str) -> Rows:
        counts = {"path_energy": self.asked.path_n, "straightness": self.asked.path_n, "npe": self._coupled()}
        rows = [Measurement(metric, math.nan, n=n, reason=reason) for metric, n in counts.items() if n]
        return quoted(rows, self._sampler(self.solver.method))

    def _coupled(self) -> int:
        """Samples in the optimal transport that the paths are compared with; none of images."""
        return 0 if self.dataset.is_image else min(self.asked.w2_n, self.asked.path_n, len(self.dataset.test))

    # The sweep.

    def sweep(self, asked: Sweep, parts: Parts) -> None:
        costs = {method: EVALUATIONS_A_STEP[method] for method in asked.solvers}
        solvers = [Solver(m, steps=nfe // cost) for m, cost in costs.items() for nfe in asked.nfe if nfe % cost == 0]
        solvers += [Solver("dopri5", tolerance, tolerance) for tolerance in asked.tolerances]
        batch = asked.batch or asked.n
        error = SolverError(self.source, asked.error_n, batch, parts.partial) if asked.error_n else None
        for solver in solvers:
            nfe = solver.steps * EVALUATIONS_A_STEP[solver.method] if solver.steps else None
            parts.measure(
                f"sweep {solver.settings()}",
                bound(self._swept, asked.n, batch, solver, error),
                bound(self._not_swept, asked.n, batch, solver, error, nfe),
                f"at {nfe} evaluations" if nfe else f"at tolerance {solver.rtol:g}",
            )
        if parts.arrays:
            parts.arrays["extent"] = self.dataset.extent

    def _swept(
        self, n: int, batch: int, solver: Solver, error: SolverError | None, partial: Partial
    ) -> tuple[Rows, Arrays]:
        quality = self.judge.quality(n, full=False)
        shown = Shown(FEW_IMAGES if self.dataset.is_image else FEW_POINTS)
        name = f"{solver.settings()}"
        nfe, seconds = self._drawn(name, self.source.solved(solver), n, batch, quality, partial, shown)
        settings = self._drawing(solver.method, batch, **solver.settings(), nfe=nfe)
        rows = [*quoted(quality.measured(), settings), seconds_row(seconds, n, settings)]
        if error:
            rows += attempt(bound(error.measured, solver, settings), bound(error.blank, settings), alone=False)
        if solver.method == "midpoint" and nfe in GRID:
            return rows, {f"samples_midpoint_{nfe:g}": for_plots(shown.gathered())}
        return rows, {}

    def _not_swept(
        self, n: int, batch: int, solver: Solver, error: SolverError | None, nfe: int | None, reason: str
    ) -> Rows:
        settings = self._drawing(solver.method, batch, **solver.settings(), **({"nfe": float(nfe)} if nfe else {}))
        rows = quoted(self.judge.quality(n, full=False).measured(reason), settings)
        rows.append(seconds_row(math.nan, n, settings, reason))
        return rows + (error.blank(settings, reason) if error else [])

    # A point of the curve.

    def curve(self, n: int, asked: Likelihood, parts: Parts) -> None:
        if not self.dataset.condition:
            few = Likelihood(n=n, batch=min(n, asked.batch), divergence=asked.divergence)
            solver = Solver(**few.solvers[0].model_dump())
            make, blank = bound(self._likelihood, few, solver), bound(self._no_likelihood, few, solver)
            parts.measure("validation likelihood", make, blank)
        parts.measure("validation distance", bound(self._distance, n), bound(self._no_distance, n))

    def _distance(self, n: int, partial: Partial) -> tuple[Rows, Arrays]:
        quality, batch = self.judge.quality(n, full=False), min(n, self.asked.batch)
        nfe, _ = self._drawn("curve", self.source.solved(self.solver), n, batch, quality, partial)
        settings = self._drawing(self.solver.method, batch, **self.solver.settings())
        return [*quoted(quality.measured(), settings), nfe_row(nfe, n, settings)], {}

    def _no_distance(self, n: int, reason: str) -> Rows:
        settings = self._drawing(self.solver.method, min(n, self.asked.batch), **self.solver.settings())
        rows = self.judge.quality(n, full=False).measured(reason)
        return [*quoted(rows, settings), nfe_row(math.nan, n, settings, reason)]

    # What they share.

    def _drawn(
        self, name: str, draw: Draw, n: int, batch: int, quality: Quality, partial: Partial, shown: Shown | None = None
    ) -> tuple[float, float]:
        """Draw n samples into `quality`; their mean NFE, and the seconds of the rank that took longest."""
        evaluations = seconds = 0.0
        with ranks.failing_together():
            for part in self.source.batches(name, draw, n, batch, partial):
                quality.add(part)
                if shown:
                    shown.add(part)
                evaluations += part.nfe * len(part.x)
                seconds += part.seconds
                if batch < n:
                    self.log(f"samples {name}: {part.start + len(part.x)} of {n}, NFE {part.nfe:g}")
        total = ranks.total(torch.tensor([evaluations], dtype=torch.float64))
        return float(total) / n, ranks.agreed(seconds)[0]

    def _drawing(self, sampler: str, batch: int, **own: Any) -> Settings:
        """What every measurement of drawn samples says of how they were drawn."""
        return {"sampler": sampler, **own, "batch": batch, "weights": self.weights}

    def _sampler(self, name: str) -> Settings:
        """The same of a sampler of the stage of samples."""
        own = self.solver.settings() if name == self.solver.method else {}
        return self._drawing(name, self.asked.batch, **own)

    def _peak(self, settings: Settings) -> Measurement:
        return Measurement("peak_memory_bytes", ranks.agreed(peak_memory(self.device))[0], settings=settings)
