"""The four stages of a run, the same for every baseline: train -> likelihood -> samples -> sweep.

train       the one training loop, with a validation curve
likelihood  NLL in nats or bits/dim of test samples, its NFE and seconds; for 2-D data the density on a grid
samples     quality (W2 for points, feature distances for images), NFE, seconds, and the geometry of the paths
sweep       quality, seconds and the ODE's own error at few evaluations, for every solver

Each stage returns its measurements and the arrays that plots need.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from bench import components, provenance, ranks
from bench.errors import Diverged
from bench.metrics.clock import peak_memory, reset_peak_memory
from bench.metrics.likelihood import likelihood, log_density_grid
from bench.metrics.quality import Judge, Quality, quoted
from bench.metrics.sampling import Source
from bench.metrics.solver_error import SolverError
from bench.metrics.transport import Paths, follow, wasserstein2
from bench.ode import EVALUATIONS_A_STEP, Solver
from bench.partial import Partial
from bench.pictures import FEW_IMAGES, FEW_POINTS, IMAGES, POINTS, Arrays, Shown, for_plots, pictures
from bench.precision import full_float32
from bench.records import Measurement
from bench.registry import load_plugin
from bench.settings import Likelihood, Samples, Stage
from bench.training import Trainer

if TYPE_CHECKING:
    from bench.job import Job

Rows = list[Measurement]
Draw = Callable[[int, int], tuple[Tensor, float]]
GRID = (4, 8, 10, 20, 40, 60, 100)  # evaluations of the midpoint rule whose samples are kept
DENSITY_TIMES = (0.2, 0.4, 0.6, 0.8, 1.0)  # shares of the way to t_end at which a 2-D density is kept
CURVE = ("nll_nats", "nll_bpd", "w2", "fid", "fd_", "nfe_sampling")  # what a validation keeps, by its beginning


class Stages:
    """The dataset, the baseline and the network of one run, restored from its checkpoint where there is one."""

    def __init__(self, job: "Job", log: Callable[[str], None]) -> None:
        for plugin in job.plugins:
            load_plugin(plugin)
        run = job.run
        self.job, self.run, self.log, self.device = job, run, log, job.device
        self.dataset = components.build_dataset(run.dataset, job.data_dir)
        self.baseline = components.build_baseline(run.baseline)
        components.check_condition(run, self.dataset)
        torch.manual_seed(run.seed)
        module = components.build_network(run.network, self.dataset).to(job.device)
        self.parameters = sum(p.numel() for p in module.parameters())
        self.trainer = Trainer(run.run_id, run.training, self.baseline, module, self.dataset, run.seed)
        self.checkpoint = job.folder / "checkpoint.pt"
        self.trainer.restore(self.checkpoint, log)
        self.weights = "ema" if run.training.ema else "raw"
        self.asked = run.evaluation.samples or Samples()
        self.judge = Judge(self.dataset, self.asked, job.data_dir, job.device)

    def facts(self) -> dict[str, Any]:
        """What a record says of the run beside its measurements."""
        return {
            "label": self.baseline.label,
            "dataset_version": f"{self.dataset.version}:{self.dataset.checksum}",
            "parameters": self.parameters,
            "steps": self.trainer.step,
            "options": components.resolved(self.baseline),
            "device": provenance.device_name(self.device),
            "device_count": ranks.count(),
            "commit": provenance.commit(),
            "versions": provenance.versions(),
        }

    def partial(self, stage: Stage) -> Partial:
        """The finished parts of a stage under way."""
        return Partial(self.job.folder / f"partial-{self.run.fingerprint(stage)}-{stage}")

    def trained(self) -> nn.Module:
        """The network that is evaluated: averaged weights, frozen."""
        if self.trainer.progress < 1:  # the record of the training has outlived its checkpoint
            for stage in self.run.stages:
                self.partial(stage).clear()  # of other weights
            self.trainer.fit(self.checkpoint, self.validate, self.log)
        return self.trainer.evaluation_module()

    def source(self, module: nn.Module) -> Source:
        return Source(self.baseline, module, self.dataset, self.run.seed, self.device)

    def run_stage(self, stage: Stage) -> tuple[Rows, Arrays]:
        """The measurements and arrays of a stage; whatever is measured is measured in full float32."""
        with nullcontext() if stage == "train" else full_float32(self.device):
            found: tuple[Rows, Arrays] = getattr(self, stage)()
            return found

    def train(self) -> tuple[Rows, Arrays]:
        trainer = self.trainer
        if self.run.training.curve_points or self.run.evaluation.samples or self.run.evaluation.sweep:
            self.judge.prepare()
        trainer.fit(self.checkpoint, self.validate, self.log)
        rows = [
            Measurement("steps", trainer.step),
            Measurement("train_seconds", trainer.seconds),
            Measurement("nfe_training", trainer.evaluations()),
            Measurement("train_loss", trainer.loss, settings={"step": trainer.step}),
            Measurement("peak_memory_bytes", ranks.agreed(trainer.peak)[0]),
        ]
        return rows + trainer.curve, {}

    def validate(self, module: nn.Module) -> Rows:
        """One point of the validation curve: the NLL of a few test samples, the distance of as many samples, its NFE.

        What a solve diverges for is left out: an early field may be too rough, and training goes on.
        """
        n, source = self.run.training.curve_n, self.source(module)
        measures = [] if self.dataset.condition else [self._curve_likelihood]
        measures += [self._curve_distance]
        rows: Rows = []
        for measure in measures:
            try:
                with full_float32(self.device):
                    rows += measure(source, n)
            except Diverged as error:
                self.log(f"validation without {measure.__name__.removeprefix('_curve_')}: {error}")
        return [m for m in rows if m.metric.startswith(CURVE)]

    def _curve_likelihood(self, source: Source, n: int) -> Rows:
        asked = self.run.evaluation.likelihood or Likelihood()
        settings = Likelihood(n=n, batch=min(n, asked.batch), divergence=asked.divergence)
        return self._likelihood(source, settings, Partial())

    def _curve_distance(self, source: Source, n: int) -> Rows:
        solver, quality, batch = self._solver(), self.judge.quality(n, full=False), min(n, self.asked.batch)
        nfe, _ = self._draw(source, "curve", source.solved(solver), n, batch, quality)
        quote = self._quote(solver.method, batch, **solver.settings())
        return [*quoted(quality.measured(), quote), Measurement("nfe_sampling", nfe, n=n, settings=quote)]

    def likelihood(self) -> tuple[Rows, Arrays]:
        settings = self.run.evaluation.likelihood
        assert settings is not None
        source = self.source(self.trained())
        reset_peak_memory(self.device)
        rows = self._likelihood(source, settings, self.partial("likelihood"))
        rows.append(self._peak({}))
        if self.dataset.shape != (2,):
            return rows, {}
        times = [share * self.baseline.t_end for share in DENSITY_TIMES]
        grids = [log_density_grid(source.field(), self.dataset.extent, t, self.device).half().numpy() for t in times]
        return rows, {"log_densities": np.stack(grids), "density_times": times, "extent": self.dataset.extent}

    def samples(self) -> tuple[Rows, Arrays]:
        s, solver = self.asked, self._solver()
        source = self.source(self.trained())
        ways: dict[str, Draw] = {solver.method: source.solved(solver)}
        ways |= {name: source.native(name) for name in self.baseline.samplers(source.network(0, 1))}
        n = s.n if self.dataset.is_image else min(s.w2_n, s.n)
        rows: Rows = []
        shown = Shown(IMAGES if self.dataset.is_image else POINTS)
        for name, draw in ways.items():
            own = solver.settings() if name == solver.method else {}
            quote = self._quote(name, s.batch, **own)
            self.log(f"samples {name}")
            reset_peak_memory(self.device)
            quality = self.judge.quality(n)
            keep = shown if name == solver.method else Shown(0)
            nfe, seconds = self._draw(source, name, draw, s.n, s.batch, quality, self.partial("samples"), keep)
            rows += [
                Measurement("nfe_sampling", nfe, n=s.n, settings=quote),
                Measurement("sampling_seconds", seconds, n=s.n, settings=quote),
                *([self._peak(quote)] if own else []),
                *quoted(quality.measured(), quote),
            ]
        paths, geometry = self._geometry(source, s, solver)
        quote = self._quote(solver.method, s.batch, **solver.settings())
        rows += [*quoted(geometry, quote), *self.judge.floor(s.n)]
        return rows, pictures(self.dataset, self.baseline.path, shown.gathered(), paths)

    def sweep(self) -> tuple[Rows, Arrays]:
        s = self.run.evaluation.sweep
        assert s is not None
        source = self.source(self.trained())
        costs = {method: EVALUATIONS_A_STEP[method] for method in s.solvers}
        solvers = [Solver(m, steps=nfe // cost) for m, cost in costs.items() for nfe in s.nfe if nfe % cost == 0]
        solvers += [Solver("dopri5", tolerance, tolerance) for tolerance in s.tolerances]
        batch = s.batch or s.n
        rows: Rows = []
        arrays: Arrays = {}
        error = SolverError(source, s.error_n, batch, self.partial("sweep")) if s.error_n else None
        for solver in solvers:
            quality = self.judge.quality(s.n, full=False)
            shown = Shown(FEW_IMAGES if self.dataset.is_image else FEW_POINTS)
            name = f"{solver.settings()}"
            partial = self.partial("sweep")
            nfe, seconds = self._draw(source, name, source.solved(solver), s.n, batch, quality, partial, shown)
            quote = self._quote(solver.method, batch, **solver.settings(), nfe=nfe)
            rows += quoted(quality.measured(), quote)
            rows.append(Measurement("sampling_seconds", seconds, n=s.n, settings=quote))
            if error:
                rows.append(error.measured(solver, quote))
            if solver.method == "midpoint" and nfe in GRID:
                arrays[f"samples_midpoint_{nfe:g}"] = for_plots(shown.gathered())
        return rows, {**arrays, "extent": self.dataset.extent} if arrays else {}

    def _solver(self) -> Solver:
        return Solver(**self.asked.solver.model_dump())

    def _quote(self, sampler: str, batch: int, **own: Any) -> dict[str, Any]:
        """What every measurement of drawn samples says of how they were drawn."""
        return {"sampler": sampler, **own, "batch": batch, "weights": self.weights}

    def _peak(self, quote: dict[str, Any]) -> Measurement:
        return Measurement("peak_memory_bytes", ranks.agreed(peak_memory(self.device))[0], settings=quote)

    def _likelihood(self, source: Source, settings: Likelihood, partial: Partial) -> Rows:
        return likelihood(source, settings, self.weights, partial)

    def _draw(
        self,
        source: Source,
        name: str,
        draw: Draw,
        n: int,
        batch: int,
        quality: Quality,
        partial: Partial | None = None,
        shown: Shown | None = None,
    ) -> tuple[float, float]:
        """Draw n samples into `quality`; their mean NFE, and the seconds of the rank that took longest."""
        evaluations = seconds = 0.0
        with ranks.diverging_together():
            for part in source.batches(name, draw, n, batch, partial):
                quality.add(part)
                if shown:
                    shown.add(part)
                evaluations += part.nfe * len(part.x)
                seconds += part.seconds
                if batch < n:
                    self.log(f"samples {name}: {part.start + len(part.x)} of {n}, NFE {part.nfe:g}")
        total = ranks.total(torch.tensor([evaluations], dtype=torch.float64))
        return float(total) / n, ranks.agreed(seconds)[0]

    def _geometry(self, source: Source, s: Samples, solver: Solver) -> tuple[Paths, Rows]:
        noise = source.noise(0, s.path_n)
        paths = follow(source.field(0, s.path_n), noise, self.baseline.t_end, s.path_times, solver)
        rows = [
            Measurement("path_energy", paths.energy, paths.energy_stderr, s.path_n),
            Measurement("straightness", paths.straightness, paths.straightness_stderr, s.path_n),
        ]
        if not self.dataset.is_image:
            n = min(s.w2_n, s.path_n, len(self.dataset.test))
            optimal = wasserstein2(noise[:n], self.dataset.test[:n]) ** 2
            rows.append(Measurement("npe", abs(paths.energy - optimal) / optimal, n=n))
        return paths, rows
