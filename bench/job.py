"""One run from start to end: train -> likelihood -> samples -> sweep, each stage ending in one record.

A stage whose record is there is skipped, so calling a job again goes on where it stopped. Whatever goes wrong inside
becomes a failed record with its reason: a run never takes another one with it.
"""

import datetime
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.files import locked
from bench.records import Measurement, fail, finished, run_folder, stage_done, write_stage
from bench.suite import Run, Stage

Report = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """A run with where its records go, where data is, what it runs on, and the plugins it needs."""

    run: Run
    root: Path
    data_dir: Path
    device: str = "cpu"
    plugins: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return run_folder(self.root, self.run.run_id)

    def __call__(self, progress: Report | None = None) -> str:
        """Run the missing stages: "ok", "failed" (a failed record says why) or "busy" (another process is at it)."""
        with locked(self.folder / "lock", wait=False) as mine:
            if not mine:
                return "busy"
            if finished(self.root, self.run):
                return "ok"
            log = _log(self.folder / "log.txt", progress)
            bench: _Bench | None = None
            try:
                bench = _Bench(self, log)
                for stage in self.run.stages:
                    if not stage_done(self.root, self.run, stage):
                        log(stage)
                        rows, arrays = getattr(bench, stage)()
                        write_stage(self.root, self.run, stage, rows, bench.facts(), arrays)
                log("ok")
                return "ok"
            except Exception as error:
                log(traceback.format_exc())
                reason = explain(error, self.run)
                fail(self.root, self.run, reason, bench.facts() if bench else None)
                log(f"failed: {reason}")
                return "failed"


def explain(error: Exception, run: Run) -> str:
    """The reason of a failed record, in one line."""
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return (
            f"out of memory: {run.baseline.name} with network {run.network.name}, training.batch "
            f"{run.training.batch}; set a smaller training.batch or evaluation.STAGE.batch"
        )
    return f"{type(error).__name__}: {error}"


def _log(path: Path, progress: Report | None) -> Report:
    """Lines with the time into the run's log file, and the same text to whoever follows."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def log(text: str) -> None:
        with path.open("a") as file:
            file.write(f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")
        if progress:
            progress(text.splitlines()[-1] if text else "")

    return log


class _Bench:
    """The data, the network and the trained field of one run; one method a stage, each -> (measurements, arrays)."""

    def __init__(self, job: Job, log: Report) -> None:
        import torch

        from bench import components
        from bench.registry import load_plugin
        from bench.training import Trainer

        for plugin in job.plugins:
            load_plugin(plugin)
        self.job, self.run, self.log = job, job.run, log
        run = job.run
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
        from bench import provenance
        from bench.components import resolved

        return {
            "label": self.baseline.label,
            "dataset_version": f"{self.dataset.version}:{self.dataset.checksum}",
            "parameters": self.parameters,
            "steps": self.trainer.step,
            "options": resolved(self.run.baseline.options, type(self.baseline)),
            "device": provenance.device_name(self.job.device),
            "device_count": 1,
            "commit": provenance.commit(),
            "versions": provenance.versions(),
        }

    def field(self) -> Any:
        """The velocity field of the trained, averaged weights."""
        if self.trainer.progress < 1:  # the train record outlived its checkpoint
            self.train()
        return self.baseline.velocity(self.trainer.evaluation_module())

    def train(self) -> tuple[list[Measurement], None]:
        from bench.metrics.clock import peak_memory, reset_peak_memory

        trainer = self.trainer
        reset_peak_memory(self.job.device)
        trainer.fit(self.checkpoint, self.validate, self.log)
        rows = [
            Measurement("steps", trainer.step),
            Measurement("train_seconds", trainer.seconds),
            Measurement("nfe_training", trainer.net.nfe),
            Measurement("train_loss", trainer.loss, settings={"step": trainer.step}),
            Measurement("peak_memory_bytes", peak_memory(self.job.device)),
        ]
        return rows + trainer.curve, None

    def validate(self, module: Any) -> list[Measurement]:
        """One point of the validation curve: the NLL of a few test samples, and an image set's feature distance."""
        from bench.metrics.likelihood import likelihood
        from bench.suite import Likelihood

        f, n = self.baseline.velocity(module), self.run.training.curve_n
        asked = self.run.evaluation.likelihood or Likelihood()
        settings = Likelihood(n=n, batch=min(n, asked.batch), divergence=asked.divergence, probes=asked.probes)
        rows = likelihood(f, self.dataset, self.baseline.t_end, settings, self.run.seed, self.job.device, self.weights)
        rows = [m for m in rows if m.metric.startswith("nll_") and m.metric != "nll_floor"]
        if self.dataset.is_image:
            x, _ = self.draw(f, min(n, len(self.dataset.train)), n, self.solver())
            rows += self.fidelity(x, {})
        return rows

    def likelihood(self) -> tuple[list[Measurement], dict[str, Any]]:
        from bench.metrics.clock import peak_memory, reset_peak_memory
        from bench.metrics.likelihood import likelihood, log_density_grid

        settings = self.run.evaluation.likelihood
        assert settings is not None
        f, device, t_end = self.field(), self.job.device, self.baseline.t_end
        reset_peak_memory(device)
        rows = likelihood(f, self.dataset, t_end, settings, self.run.seed, device, self.weights)
        rows.append(Measurement("peak_memory_bytes", peak_memory(device)))
        if self.dataset.shape != (2,):
            return rows, {}
        grid = log_density_grid(f, self.dataset.extent, t_end, device)
        return rows, {"log_density": grid.half().numpy(), "extent": self.dataset.extent}

    def solver(self) -> Any:
        from bench.ode import Solver
        from bench.suite import Samples

        return Solver(**(self.run.evaluation.samples or Samples()).solver.model_dump())

    def draw(self, f: Any, n: int, batch: int, solver: Any) -> tuple[Any, float]:
        """n samples from noise that belongs to them, solved `batch` at a time, and the mean NFE over samples."""
        import torch

        from bench.ode import solve
        from bench.seeds import normal

        parts, evaluations = [], 0
        with torch.no_grad():
            for start in range(0, n, batch):
                stop = min(start + batch, n)
                x0 = normal(self.dataset.shape, self.run.seed, "samples", start, stop, self.job.device)
                solution = solve(f, x0, (0.0, self.baseline.t_end), solver)
                parts.append(solution.x[-1])
                evaluations += solution.nfe * (stop - start)
        return torch.cat(parts), evaluations / n

    def fidelity(self, x: Any, quote: dict[str, Any]) -> list[Measurement]:
        """Feature distances of image samples in model space to the train split."""
        from bench.metrics.fidelity import fidelity

        assert self.dataset.extractor
        return fidelity(
            self.dataset.quantise(x), self.dataset, "train", self.dataset.extractor, self.job.data_dir, self.job.device, quote
        )

    def quality(self, x: Any, quote: dict[str, Any], w2_n: int) -> list[Measurement]:
        """How close samples are to data: W2 to the test points, or feature distances of images."""
        from bench.metrics.transport import wasserstein2

        if self.dataset.is_image:
            return self.fidelity(x, quote)
        n = min(w2_n, len(x), len(self.dataset.test))
        value = wasserstein2(x[:n], self.dataset.test[:n])
        return [Measurement("w2", value, n=n, settings={**quote, "split": "test"})]

    def samples(self) -> tuple[list[Measurement], dict[str, Any]]:
        import torch

        from bench.metrics.clock import now, peak_memory, reset_peak_memory
        from bench.metrics.transport import follow, wasserstein2
        from bench.seeds import generator, normal

        s = self.run.evaluation.samples
        assert s is not None
        device, data = self.job.device, self.dataset
        module = self.trainer.evaluation_module() if self.trainer.progress >= 1 else None
        f = self.field() if module is None else self.baseline.velocity(module)
        solver = self.solver()
        quote = {"sampler": solver.method, **solver.settings(), "batch": s.batch, "weights": self.weights}
        reset_peak_memory(device)
        begun = now(device)
        x, nfe = self.draw(f, s.n, s.batch, solver)
        seconds = now(device) - begun
        rows = [
            Measurement("nfe_sampling", nfe, n=s.n, settings=quote),
            Measurement("sampling_seconds", seconds, n=s.n, settings=quote),
            Measurement("peak_memory_bytes", peak_memory(device), settings=quote),
            *self.quality(x, quote, s.w2_n),
        ]
        noise = normal(data.shape, self.run.seed, "samples", 0, s.path_n, device)
        paths = follow(f, noise, self.baseline.t_end, s.path_times, solver)
        rows.append(Measurement("path_energy", paths.energy, paths.energy_stderr, s.path_n, settings=quote))
        rows.append(Measurement("straightness", paths.straightness, paths.straightness_stderr, s.path_n, settings=quote))
        if not data.is_image:
            n = min(s.w2_n, len(data.test))
            optimal = wasserstein2(normal(data.shape, self.run.seed, "samples", 0, n), data.test[:n]) ** 2
            rows.append(Measurement("npe", abs(paths.energy - optimal) / optimal, n=n, settings=quote))
        for name, native in self.baseline.samplers(self.trainer.evaluation_module()).items():
            self.log(f"samples {name}")
            quote = {"sampler": name, "batch": s.batch, "weights": self.weights}
            begun = now(device)
            parts = []
            with torch.no_grad():
                for start in range(0, s.n, s.batch):
                    x0 = normal(data.shape, self.run.seed, "samples", start, min(start + s.batch, s.n), device)
                    rng = generator(self.run.seed, f"native-{name}", start)
                    parts.append(native.sample(x0, rng))
            y = torch.cat(parts)
            rows.append(Measurement("nfe_sampling", native.nfe, n=s.n, settings=quote))
            rows.append(Measurement("sampling_seconds", now(device) - begun, n=s.n, settings=quote))
            rows += self.quality(y, quote, s.w2_n)
        return rows, self.arrays(x, paths)

    def arrays(self, x: Any, paths: Any) -> dict[str, Any]:
        """What plots need: sample grids, or 2-D samples, trajectories and snapshots."""
        if self.dataset.is_image:
            return {"samples": self.dataset.quantise(x[:64]).permute(0, 2, 3, 1).cpu().numpy()}
        if self.dataset.shape != (2,):
            return {}
        shown = [round(i * (len(paths.times) - 1) / 5) for i in range(6)]
        return {
            "samples": x[:2000].cpu().half().numpy(),
            "times": paths.times.float().numpy(),
            "trajectories": paths.x[:, :64].cpu().half().numpy(),
            "snapshot_times": paths.times[shown].float().numpy(),
            "snapshots": paths.x[shown, :2000].cpu().half().numpy(),
            "extent": self.dataset.extent,
        }

    def sweep(self) -> tuple[list[Measurement], dict[str, Any]]:
        from bench.ode import EVALUATIONS_A_STEP, Solver

        s = self.run.evaluation.sweep
        assert s is not None
        f = self.field()
        rows, arrays = [], {}
        solvers = [Solver(m, steps=nfe // EVALUATIONS_A_STEP[m]) for m in s.solvers for nfe in s.nfe if nfe >= EVALUATIONS_A_STEP[m]]
        solvers += [Solver("dopri5", tolerance, tolerance) for tolerance in s.tolerances]
        for solver in solvers:
            x, nfe = self.draw(f, s.n, s.n, solver)
            quote = {"sampler": solver.method, **solver.settings(), "nfe": nfe, "batch": s.n, "weights": self.weights}
            rows += self.quality(x, quote, s.n)
            if solver.method == "midpoint" and solver.steps in (2, 4, 5, 10):
                shown = self.dataset.quantise(x[:16]).permute(0, 2, 3, 1) if self.dataset.is_image else x[:1000].half()
                arrays[f"samples_midpoint_{2 * solver.steps}"] = shown.cpu().numpy()
        if arrays and not self.dataset.is_image:
            arrays["extent"] = self.dataset.extent
        return rows, arrays
