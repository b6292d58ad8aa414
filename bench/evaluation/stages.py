"""The stages of a run, the same for every baseline: train -> likelihood -> samples -> sweep.

Each stage returns its measurements and the arrays that plots need; whatever is measured is measured in full float32.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from torch import nn

from bench.config import components
from bench.config.curve import curve_likelihood
from bench.config.settings import Samples, Stage
from bench.errors import NOT_APPLICABLE, NotApplicable
from bench.evaluation.curve import measure_curve
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.likelihood import measure_likelihood
from bench.evaluation.parts import Arrays, Parts, Rows
from bench.evaluation.pictures import Shown, how_many
from bench.evaluation.quality import Judge
from bench.evaluation.samples import measure_samples
from bench.evaluation.sweep import measure_sweep
from bench.evaluation.trained import Trained
from bench.evaluation.unfinished import Unfinished, clear_all
from bench.evaluation.watching import Watching
from bench.identity import inputs
from bench.launch.task import Task
from bench.methods.baseline import Baseline
from bench.methods.compilation import Compilation
from bench.methods.unfit import Unfit
from bench.metrics.metric import metric_of
from bench.records import provenance, standing
from bench.records.records import Measurement, trained_by
from bench.training import ranks
from bench.training.build import build
from bench.training.clipping import share_clipped
from bench.training.precision import full_float32
from bench.training.rehearsal import rehearse
from bench.training.seeds import on_dataset
from bench.training.trainer import Trainer
from bench.training.watch import NOBODY


class Stages:
    """The dataset, the baseline and the network of one run, restored from its checkpoint where there is one."""

    def __init__(self, task: Task, log: Callable[[str], None]) -> None:
        run = task.run
        self.task, self.run, self.log, self.device = task, run, log, task.device
        self.opened: set[str] = set()
        with inputs.noted(self.opened):
            self._build()
            if not (self.trained or self.trainer.step):
                rehearse(self.trainer, run, self.judge)

    def _build(self) -> None:
        task, run, log = self.task, self.run, self.log
        self.dataset = components.build_dataset(run.dataset, task.data_dir, run.seed)
        self.seed = on_dataset(run.seed, run.dataset)
        self.baseline = components.build_baseline(run.baseline)
        components.check_data(run, self.dataset)
        self.method: Baseline = self.baseline
        self.unfit = ""  # the reason of every measurement, if the method is not for such data
        try:
            module, self.teachers = build(run, self.dataset, task.root, task.data_dir)
            self.method = self.baseline = cast(Baseline, module.method)
        except NotApplicable as reason:
            self.method, self.unfit = Unfit(str(reason)), f"{NOT_APPLICABLE}: {reason}"
            module, self.teachers = nn.Linear(1, 1), {}
        module = module.to(task.device)
        self.parameters = None if self.unfit else sum(p.numel() for p in module.parameters() if p.requires_grad)
        self.trainer = Trainer(run.run_id, run.training, self.method, module, self.dataset, self.seed)
        self.trainer.code, self.trainer.accepted = trained_by(task.root, run, task.keep_stale)
        self.trainer.teachers = sorted(teacher["sha256"] for teacher in self.teachers.values())
        self.trainer.curve_code = standing.curve(run) or ""
        self.trainer.tuned = task.choice.to if task.choice else {}
        self.checkpoint = task.checkpoint
        if not self.unfit:
            self.trainer.restore(self.checkpoint, log)
        # Diverged in the last step, or trained elsewhere and not tried yet, it is not saved.
        self.trained = bool(self.unfit) or (self.trainer.finished and self.trainer.saved is not None)
        self.weights = "ema" if run.training.ema else "raw"
        self.samples = run.evaluation.samples or Samples()
        self.judge = Judge(self.dataset, self.samples, task.data_dir, task.device, self.seed)
        self.watching: Watching | None = None
        if ranks.is_main() and not self.unfit:
            self.watching = Watching(task, self.trainer, self.dataset.extent, self.facts)

    def facts(self) -> dict[str, Any]:
        version = self.dataset.version
        return {
            "label": self.run.title(self.baseline.label),
            "dataset_version": version if self.dataset.by_run else f"{version}:{self.dataset.checksum}",
            "dataset_checksum": self.dataset.checksum,
            "given": self.dataset.is_given,
            "parameters": self.parameters,
            "steps": self.trainer.step,
            "options": components.resolved(self.baseline),
            "tuned": self.task.choice and self.task.choice.model_dump(mode="json"),
            "device": provenance.device_name(self.device),
            "device_count": ranks.count(),
            "inputs": inputs.described(
                {*self.opened, *components.opened(self.run.dataset, self.task.data_dir, self.run.seed)},
                [self.task.root],
            )
            | self.teachers,
            "commit": provenance.commit(),
            "versions": provenance.versions(),
        }

    def unfinished(self, stage: Stage) -> Unfinished:
        return Unfinished(self.task.folder / standing.parts_folder(self.run, stage), self.log)

    def run_stage(self, stage: Stage) -> tuple[Rows, Arrays]:
        """The measurements and arrays of a stage; what cannot be had is a measurement with a reason."""
        with inputs.noted(self.opened):
            rows, arrays = self.train() if stage == "train" else self._evaluated(stage)
        if self.watching:
            self.watching.ended(stage, rows, arrays, self.trainer.step)
        return rows, arrays

    def _evaluated(self, stage: Stage) -> tuple[Rows, Arrays]:
        self._fit()  # the record of the training may have outlived its checkpoint
        parts = Parts(self.log, self.unfinished(stage))
        evaluator, config = self._evaluator(self.trainer.average.frozen(), self.judge), self.run.evaluation
        with full_float32(self.device):
            if stage == "likelihood" and config.likelihood:
                measure_likelihood(evaluator, config.likelihood, parts)
            elif stage == "samples":
                training = self.run.training
                measure_samples(evaluator, parts, training.curve_n if training.curve_points else 0)
            elif config.sweep:
                measure_sweep(evaluator, config.sweep, parts)
        parts.check()
        return parts.rows, parts.arrays

    def train(self) -> tuple[Rows, Arrays]:
        trainer = self.trainer
        self.prepare_judges()
        self._fit()
        shared = {"stacked": True} if trainer.stacked > 1 else {}  # whose time and memory others shared
        rows = [
            Measurement("train_seconds", trainer.seconds, settings=shared),
            Measurement("nfe_training", trainer.evaluations()),
            Measurement("train_loss", trainer.loss),
            Measurement("peak_memory_bytes", ranks.agreed(trainer.peak)[0], settings=shared),
        ]
        if (best := trainer.best) and best.step is not None:
            rows += [Measurement("best_step", best.step), Measurement("validation_loss", best.loss)]
        bounded = trainer.settings.clip or trainer.settings.clip_relative
        if bounded and (share := share_clipped(trainer.clippings, trainer.step)) is not None:
            rows.append(Measurement("clipped_steps", share))
        if why := self.unfit or self.elsewhere:
            rows = [replace(row, value=math.nan, reason=why) for row in rows]
        steps = Measurement("steps", math.nan if self.unfit else trainer.step, reason=self.unfit or None)
        return [steps, *rows, *self.tuning(), *trainer.curve], {}

    def tuning(self) -> Rows:
        """What the trials cost that chose the run's values; nothing of a run that is not tuned."""
        choice = self.task.choice
        if not choice:
            return []
        trials = sum(len(tried.trials) for tried in choice.tried)
        settings = {"trials": trials} | ({"stacked": True} if choice.stacked else {})
        return [
            Measurement("tuning_seconds", choice.seconds, settings=settings),
            Measurement("tuning_evaluations", choice.evaluations, settings=settings),
        ]

    def prepare_judges(self) -> None:
        """Have ready what samples are compared with, which is no part of the training's time."""
        curve, stages = self.run.training.curve_points, self.run.stages
        if not self.unfit and ("samples" in stages or "sweep" in stages):
            self.judge.prepare()
        if not self.unfit and curve:
            self.judge.for_tuning.prepare()

    @property
    def elsewhere(self) -> str:
        """Why nothing is known of what the training cost, if it was not here."""
        training = self.run.training
        return f"{NOT_APPLICABLE}: trained elsewhere ({training.budget})" if training.weights else ""

    def _fit(self) -> None:
        """Train to the end, if that is not reached; parts that are kept are then of other weights."""
        if not self.trained:
            if ranks.is_main():
                clear_all(self.task.folder)
            ranks.barrier()
            self.trainer.fit(self.checkpoint, self.validate, self.log, self.watching or NOBODY)
            self.trained = True

    def validate(self, module: nn.Module) -> Rows:
        """One point of the validation curve; an early field may be too rough to be solved, and training goes on."""
        parts = Parts(self.log)
        with full_float32(self.device):
            evaluator = self._evaluator(module, self.judge.for_tuning)
            shown = Shown(how_many(self.dataset) if self.task.tensorboard else 0)
            config = curve_likelihood(self.run.evaluation, self.run.training.curve_n)
            measure_curve(evaluator, config, parts, shown)
        parts.check()
        if self.watching:
            self.watching.drawn("validation", parts.arrays, self.trainer.step)
        return [row for row in parts.rows if (metric := metric_of(row.metric)) and metric.in_curve]

    def _evaluator(self, module: nn.Module, judge: Judge) -> Evaluator:
        trained = Trained(
            self.method,
            module,
            judge.dataset,
            self.seed,
            self.device,
            balanced=self.samples.labels == "balanced",
            compilation=Compilation(self.samples.batch if self.run.training.compile else 0),
        )
        return Evaluator(trained, judge, self.samples, self.weights, self.log)
