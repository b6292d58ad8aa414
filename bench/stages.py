"""The four stages of a run, the same for every baseline: train -> likelihood -> samples -> sweep.

train       the one training loop, with a validation curve
likelihood  NLL in nats or bits/dim of test samples, its NFE and seconds; for 2-D data the density on a grid
samples     quality (W2 for points, feature distances for images), NFE, seconds, and the geometry of the paths
sweep       quality at few evaluations, for every solver

Each stage returns its measurements and the arrays that plots need.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from bench import components, provenance
from bench.metrics.clock import now, peak_memory, reset_peak_memory
from bench.metrics.likelihood import likelihood, log_density_grid
from bench.metrics.sampling import draw, draw_native
from bench.metrics.transport import Paths, follow, wasserstein2
from bench.ode import EVALUATIONS_A_STEP, Solver, VelocityField
from bench.records import Measurement
from bench.registry import load_plugin
from bench.seeds import normal
from bench.suite import Likelihood, Samples
from bench.training import Trainer

if TYPE_CHECKING:
    from bench.job import Job

Rows = list[Measurement]
Arrays = dict[str, Any]


class Stages:
    """The dataset, the baseline and the network of one run, restored from its checkpoint where there is one."""

    def __init__(self, job: "Job", log: Callable[[str], None]) -> None:
        for plugin in job.plugins:
            load_plugin(plugin)
        run = job.run
        self.job, self.run, self.log, self.device = job, run, log, job.device
        self.dataset = components.build_dataset(run.dataset, job.data_dir)
        self.baseline = components.build_baseline(run.baseline)
        torch.manual_seed(run.seed)
        module = components.build_network(run.network, self.dataset.shape).to(job.device)
        self.parameters = sum(p.numel() for p in module.parameters())
        self.trainer = Trainer(run.run_id, run.training, self.baseline, module, self.dataset, run.seed)
        self.checkpoint = job.folder / "checkpoint.pt"
        self.trainer.restore(self.checkpoint, log)
        self.weights = "ema" if run.training.ema else "raw"

    def facts(self) -> dict[str, Any]:
        """What a record says of the run beside its measurements."""
        return {
            "label": self.baseline.label,
            "dataset_version": f"{self.dataset.version}:{self.dataset.checksum}",
            "parameters": self.parameters,
            "steps": self.trainer.step,
            "options": components.resolved(self.baseline),
            "device": provenance.device_name(self.device),
            "device_count": 1,
            "commit": provenance.commit(),
            "versions": provenance.versions(),
        }

    def trained(self) -> nn.Module:
        """The network that is evaluated: averaged weights, frozen."""
        if self.trainer.progress < 1:  # the record of the training has outlived its checkpoint
            self.trainer.fit(self.checkpoint, self.validate, self.log)
        return self.trainer.evaluation_module()

    def train(self) -> tuple[Rows, None]:
        trainer = self.trainer
        reset_peak_memory(self.device)
        trainer.fit(self.checkpoint, self.validate, self.log)
        rows = [
            Measurement("steps", trainer.step),
            Measurement("train_seconds", trainer.seconds),
            Measurement("nfe_training", trainer.net.nfe),
            Measurement("train_loss", trainer.loss, settings={"step": trainer.step}),
            Measurement("peak_memory_bytes", peak_memory(self.device)),
        ]
        return rows + trainer.curve, None

    def validate(self, module: nn.Module) -> Rows:
        """One point of the validation curve: the NLL of a few test samples, for images also a feature distance."""
        f, n = self.baseline.velocity(module), self.run.training.curve_n
        asked = self.run.evaluation.likelihood or Likelihood()
        settings = Likelihood(n=n, batch=min(n, asked.batch), divergence=asked.divergence, probes=asked.probes)
        rows = self._likelihood(f, settings)
        if self.dataset.is_image:
            x, _ = self._draw(f, n, n, self._solver())
            rows += self._fidelity(x, {"sampler": "dopri5"}, kernel=False)
        return [m for m in rows if m.metric.startswith(("nll_nats", "nll_bpd", "fid", "fd_"))]

    def likelihood(self) -> tuple[Rows, Arrays]:
        settings = self.run.evaluation.likelihood
        assert settings is not None
        f = self.baseline.velocity(self.trained())
        reset_peak_memory(self.device)
        rows = self._likelihood(f, settings)
        rows.append(Measurement("peak_memory_bytes", peak_memory(self.device)))
        if self.dataset.shape != (2,):
            return rows, {}
        grid = log_density_grid(f, self.dataset.extent, self.baseline.t_end, self.device)
        return rows, {"log_density": grid.half().numpy(), "extent": self.dataset.extent}

    def samples(self) -> tuple[Rows, Arrays]:
        s = self.run.evaluation.samples
        assert s is not None
        module = self.trained()
        f, solver = self.baseline.velocity(module), self._solver()
        quote = {"sampler": solver.method, **solver.settings(), "batch": s.batch, "weights": self.weights}
        reset_peak_memory(self.device)
        begun = now(self.device)
        x, nfe = self._draw(f, s.n, s.batch, solver)
        rows = self._cost(nfe, now(self.device) - begun, s.n, quote)
        rows.append(Measurement("peak_memory_bytes", peak_memory(self.device), settings=quote))
        rows += self._quality(x, quote, s.w2_n)
        paths, geometry = self._geometry(f, s, solver, quote)
        rows += geometry
        for name, native in self.baseline.samplers(module).items():
            self.log(f"samples {name}")
            quote = {"sampler": name, "batch": s.batch, "weights": self.weights}
            begun = now(self.device)
            y = draw_native(name, native, self.dataset.shape, s.n, s.batch, self.run.seed, self.device)
            rows += self._cost(native.nfe, now(self.device) - begun, s.n, quote)
            rows += self._quality(y, quote, s.w2_n)
        return rows, self._pictures(x, paths)

    def sweep(self) -> tuple[Rows, Arrays]:
        s = self.run.evaluation.sweep
        assert s is not None
        f = self.baseline.velocity(self.trained())
        costs = {method: EVALUATIONS_A_STEP[method] for method in s.solvers}
        solvers = [Solver(m, steps=nfe // cost) for m, cost in costs.items() for nfe in s.nfe if nfe % cost == 0]
        solvers += [Solver("dopri5", tolerance, tolerance) for tolerance in s.tolerances]
        rows: Rows = []
        arrays: Arrays = {}
        for solver in solvers:
            x, nfe = self._draw(f, s.n, s.n, solver)
            quote = {
                "sampler": solver.method,
                **solver.settings(),
                "nfe": nfe,
                "batch": s.n,
                "weights": self.weights,
            }
            rows += self._quality(x, quote, s.n)
            if solver.method == "midpoint" and nfe in (4, 8, 10, 20):
                arrays[f"samples_midpoint_{nfe:g}"] = self._shown(x, points=1000, images=16)
        return rows, {**arrays, "extent": self.dataset.extent} if arrays else {}

    def _solver(self) -> Solver:
        return Solver(**(self.run.evaluation.samples or Samples()).solver.model_dump())

    def _likelihood(self, f: VelocityField, settings: Likelihood) -> Rows:
        t_end, seed = self.baseline.t_end, self.run.seed
        return likelihood(f, self.dataset, t_end, settings, seed, self.device, self.weights)

    def _draw(self, f: VelocityField, n: int, batch: int, solver: Solver) -> tuple[Tensor, float]:
        return draw(f, self.baseline.t_end, self.dataset.shape, n, batch, solver, self.run.seed, self.device)

    def _cost(self, nfe: float, seconds: float, n: int, quote: dict[str, Any]) -> Rows:
        return [
            Measurement("nfe_sampling", nfe, n=n, settings=quote),
            Measurement("sampling_seconds", seconds, n=n, settings=quote),
        ]

    def _quality(self, x: Tensor, quote: dict[str, Any], w2_n: int) -> Rows:
        """How close samples are to data: W2 to test points, feature distances to training images."""
        if self.dataset.is_image:
            return self._fidelity(x, quote, kernel=True)
        n = min(w2_n, len(x), len(self.dataset.test))
        distance = wasserstein2(x[:n], self.dataset.test[:n])
        return [Measurement("w2", distance, n=n, settings={**quote, "split": "test"})]

    def _fidelity(self, x: Tensor, quote: dict[str, Any], kernel: bool) -> Rows:
        from bench.metrics.fidelity import fidelity

        assert self.dataset.extractor is not None
        rows = fidelity(
            self.dataset.quantise(x),
            self.dataset,
            split="train",
            extractor=self.dataset.extractor,
            data_dir=self.job.data_dir,
            device=self.device,
            kernel=kernel,
        )
        return [replace(row, settings={**row.settings, **quote}) for row in rows]

    def _geometry(self, f: VelocityField, s: Samples, solver: Solver, quote: dict[str, Any]) -> tuple[Paths, Rows]:
        noise = normal(self.dataset.shape, self.run.seed, "samples", 0, s.path_n, self.device)
        paths = follow(f, noise, self.baseline.t_end, s.path_times, solver)
        rows = [
            Measurement("path_energy", paths.energy, paths.energy_stderr, s.path_n, settings=quote),
            Measurement("straightness", paths.straightness, paths.straightness_stderr, s.path_n, settings=quote),
        ]
        if not self.dataset.is_image:
            n = min(s.w2_n, s.path_n, len(self.dataset.test))
            optimal = wasserstein2(noise[:n], self.dataset.test[:n]) ** 2
            rows.append(Measurement("npe", abs(paths.energy - optimal) / optimal, n=n, settings=quote))
        return paths, rows

    def _shown(self, x: Tensor, points: int, images: int) -> Any:
        """Samples as plots take them: points in half precision, or images (n, H, W, C) of uint8."""
        if self.dataset.is_image:
            return self.dataset.quantise(x[:images]).permute(0, 2, 3, 1).cpu().numpy()
        return x[:points].half().cpu().numpy()

    def _pictures(self, x: Tensor, paths: Paths) -> Arrays:
        data = self.dataset.dequantise(self.dataset.test[:2000])
        arrays: Arrays = {"samples": self._shown(x, 2000, 64), "data": self._shown(data, 2000, 64)}
        if self.dataset.shape == (2,):
            moments = [round(i * (len(paths.times) - 1) / 5) for i in range(6)]
            arrays |= {
                "times": paths.times.float().numpy(),
                "trajectories": paths.x[:, :64].half().cpu().numpy(),
                "snapshot_times": paths.times[moments].float().numpy(),
                "snapshots": paths.x[moments, :2000].half().cpu().numpy(),
                "extent": self.dataset.extent,
            }
        return arrays
