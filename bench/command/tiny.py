"""Runs with tiny settings, of which `--check` makes some for every entry of a plugin.

The stages are those of a suite's run, so what passes here runs there.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.config import beforehand, components
from bench.config.plan import plan
from bench.config.settings import Component
from bench.config.suite import Run, Suite
from bench.config.validated import validated
from bench.errors import NotApplicable, UsageError
from bench.evaluation.stages import Stages
from bench.launch.job import Job
from bench.records.records import run_folder, stands
from bench.records.seal import read_json

SOLVER = {"method": "midpoint", "steps": 4}
TRAINING = {"steps": 20, "batch": 32, "ema": 0.9, "curve_points": 2, "curve_n": 16}
EVALUATION = {
    "likelihood": {"n": 16, "batch": 16, "solvers": [SOLVER]},
    "samples": {"n": 40, "batch": 40, "w2_n": 20, "path_n": 16, "path_times": 5, "solver": SOLVER},
    "sweep": {"n": 40, "solvers": ["midpoint"], "nfe": [4], "tolerances": []},
}
POINTS: dict[str, Any] = {"name": "checkerboard", "n_train": 256, "n_test": 64}
IMAGES: dict[str, Any] = {"name": "digits"}
ENLARGED: dict[str, Any] = {"name": "digits_4_to_8"}
NETWORKS = {
    "points": {"name": "mlp", "width": 16, "depth": 2},
    "images": {"name": "unet", "channels": [8], "layers": 1, "head_channels": 8, "time_scale": 10},
}


@dataclass(frozen=True)
class Workshop:
    """Where tiny runs are made: `folder` is for records, which are thrown away."""

    folder: Path
    data_dir: Path
    plugins: tuple[str, ...] = ()  # whose entries the runs may name
    options: Mapping[str, dict[str, Any]] = field(default_factory=dict)  # by entry, those that are not its defaults

    def component(self, name: str) -> dict[str, Any]:
        return {"name": name, **self.options.get(name, {})}

    def data(self, written: Mapping[str, Any]) -> Any:
        return components.build_dataset(component(written), self.data_dir)

    def run(
        self,
        baseline: str,
        dataset: Mapping[str, Any],
        network: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        **evaluation: Mapping[str, Any],
    ) -> Run:
        """The run of a baseline on a dataset, with a network of its kind of data; `evaluation` adds to the stages."""
        data = self.data(dataset)
        stages = {stage: {**EVALUATION[stage], **evaluation.get(stage, {})} for stage in EVALUATION}
        stages["likelihood"]["divergence"] = "hutchinson" if data.is_image else "exact"
        if data.is_image and data.is_given:
            del stages["likelihood"]
        experiment = {
            "dataset": dataset,
            "network": network or NETWORKS["images" if len(data.shape) == 3 else "points"],
            "baselines": [baseline],
            "training": TRAINING,
            "evaluation": stages,
            "overrides": {baseline: {"options": options or {}}},
        }
        (run,) = plan("check", validated(Suite, {"protocol": "smoke", "experiments": [experiment]}, "check"))
        return run

    def job(self, run: Run) -> Job:
        job = Job(run, self.folder, self.data_dir, plugins=self.plugins)
        job.folder.mkdir(parents=True, exist_ok=True)
        return job

    def refusal(self, run: Run) -> UsageError | NotApplicable | None:
        try:
            beforehand.check_networks(run, self.data(run.dataset.model_dump()))
        except (UsageError, NotApplicable) as refusal:
            return refusal
        return None

    def through_stages(self, run: Run) -> str:
        """Take the run through all its stages, or a UsageError; what is not applicable is the note."""
        beforehand.prepare([run], self.data_dir)
        self.job(run)()
        reasons: dict[str, None] = {}
        for stage, found in stands(self.folder, run).items():
            if found.state != "done":
                raise UsageError(f"{stage}: {found.reason or found.state}")
            for metric, reason in found.lost:
                raise UsageError(f"{stage}: {metric} is lost: {reason}")
            rows = read_json(run_folder(self.folder, run.run_id) / f"{stage}.json")["measurements"]
            reasons |= {row["reason"]: None for row in rows if row.get("reason")}
        return f"{', '.join(run.stages)}" + "".join(f"; {reason}" for reason in reasons)

    def repeats(self, run: Run) -> str:
        """Train a step, then another one twice: before and after a restart from the checkpoint, elsewhere seeded."""

        def stages(seed: int) -> Stages:
            random.seed(seed)
            np.random.seed(seed)
            return Stages(self.job(run), lambda _: None)

        first = stages(0)
        first.trainer.take_step()
        first.trainer.save(first.checkpoint)
        before = float(first.trainer.take_step())
        again = stages(1)
        try:
            after = float(again.trainer.take_step())
        finally:
            first.checkpoint.unlink()
        if after != before:
            raise UsageError(
                f"the loss of the second step is {before:g}, and {after:g} after a restart: a loss draws from ctx.rng "
                "alone, and keeps what it learns in the module"
            )
        return f"loss {before:.4g}"


def component(written: Mapping[str, Any]) -> Component:
    return Component.model_validate(dict(written))
