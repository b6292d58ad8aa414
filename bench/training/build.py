"""What a method is made of: the module in training, built by its baseline from the run's network and from teachers.

A teacher's weights were trained before: those of a run, from its checkpoint and the configuration in its record, or
those of a file. So may be the weights of the module itself (`training.weights`).
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import ValidationError
from torch import nn

from bench.config import components, elsewhere
from bench.config.settings import Component
from bench.config.suite import RUN_ID, Run
from bench.datasets.base import Dataset
from bench.errors import NotApplicable, UsageError, one_line
from bench.methods.baseline import Baseline
from bench.methods.network import CountedNetwork
from bench.records.disk import NoSpace
from bench.records.records import run_folder, trained
from bench.training import weights
from bench.training.seeds import on_dataset
from bench.training.weights import Files


class Build:
    """The `make` of Baseline.build for one dataset and network, with the `teachers` that it has loaded."""

    def __init__(self, network: Component, dataset: Dataset, root: Path, data_dir: Path) -> None:
        self.component, self.dataset, self.root, self.data_dir = network, dataset, root, data_dir
        self.teachers: Files = {}

    def network(self, **inputs: Any) -> nn.Module:
        """The run's network; with `classes` it takes the labels of the batch (bench/methods/network.py)."""
        module = components.build_network(self.component, self.dataset, **inputs)
        if inputs.get("classes") and not getattr(module, "classes", None):
            module.classes = inputs["classes"]
        return module

    def pretrained(self, teacher: str, **inputs: Any) -> nn.Module:
        """The frozen network of a run of the same results folder, by its id, or of a file, for `network(**inputs)`.

        UsageError if there is no such training, it has not ended, or its weights are not those of the network.
        """
        with torch.random.fork_rng(devices=[]):  # the student begins as it would without a teacher
            if run := trained_run(self.root, teacher):
                dataset = components.build_dataset(run.dataset, self.data_dir, run.seed)
                origin = Build(run.network, dataset, self.root, self.data_dir)
                module = origin.module(components.build_baseline(run.baseline))
                self.teachers |= origin.teachers
            else:
                module = self.network(**inputs)
        path = run_folder(self.root, teacher) / "checkpoint.pt" if run else Path(teacher).expanduser()
        if not path.is_file():
            raise UsageError(f"teacher = {teacher}: expected the id of a trained run or a file; there is no {path}")
        self.teachers |= weights.load(module, path)
        return module.eval().requires_grad_(False)

    def module(self, baseline: Baseline) -> nn.Module:
        """The module of a baseline, which becomes its attribute `method`, with what it leaves to the data.

        UsageError if its `build` fails, or gives no module that can be trained.
        """
        what, data = f"baseline {baseline.name}: build(make, data)", components.about(self.dataset)
        try:
            baseline = baseline.for_data(data)
            module: object = baseline.build(self, data)
        except (UsageError, NotApplicable, NoSpace, MemoryError):
            raise
        except Exception as error:
            raise UsageError(f"{what}: {one_line(error)[:300]}") from error
        if not isinstance(module, nn.Module):
            raise UsageError(f"{what} gives a {type(module).__name__}, not an nn.Module or an nn.ModuleDict of several")
        if not any(p.requires_grad for p in module.parameters()):
            raise UsageError(f"{what} gives no parameter that can be trained")
        module.method = baseline  # type: ignore[assignment]
        return module


def build(run: Run, dataset: Dataset, root: Path, data_dir: Path) -> tuple[nn.Module, Files]:
    """The module of a run, from its seed or from its weights, and the files of its teachers and weights.

    UsageError for a file that is not that of the run's identity.
    """
    make, baseline = Build(run.network, dataset, root, data_dir), components.build_baseline(run.baseline)
    torch.manual_seed(on_dataset(run.seed, run.dataset))
    module = make.module(baseline)
    if taught := [teacher["sha256"] for teacher in make.teachers.values()]:
        _same(f"teacher = {run.baseline.options.get('teacher')}", taught, run.teacher_sha256)
    if not run.training.weights:
        return module, make.teachers
    path = Path(run.training.weights)
    files = weights.load(module, path)
    check_folder(cast(Baseline, module.method), module, path)
    digest = elsewhere.digest([file["sha256"] for file in files.values()])
    _same(f"training.weights = {path}", [digest], run.weights_sha256)
    return module, make.teachers | files


def _same(what: str, loaded: list[str], planned: str) -> None:
    if planned and planned not in loaded:
        raise UsageError(
            f"{what}: its SHA-256 is {loaded[0][:12]}..., but it was {planned[:12]}... when the run was planned; call "
            "run_all.py again for a run of this content"
        )


def check_folder(baseline: Baseline, module: nn.Module, path: Path) -> None:
    """UsageError if the weights of a folder are not for what the method makes of its network."""
    if path.is_dir():
        check: Any = module.check_folder
        check(path, baseline.model(CountedNetwork(module)))


def check_weights(runs: Iterable[Run], root: Path, data_dir: Path) -> None:
    """UsageError for weights of `training.weights` that cannot be loaded, unless a teacher is to be trained first."""
    for run in runs:
        if run.training.weights and not run.teachers:
            with suppress(NotApplicable):  # which the run's records say
                build(run, components.build_dataset(run.dataset, data_dir, run.seed), root, data_dir)


def trained_run(root: Path, teacher: str) -> Run | None:
    """The run of that id, None for what is no run's id; UsageError if its training is not there or is stale."""
    if not RUN_ID.fullmatch(teacher):
        return None
    try:
        run, found = trained(root, teacher)
    except ValidationError as error:
        raise UsageError(f"teacher = {teacher}: its record is of an older edition: {one_line(error)[:200]}") from error
    if found.state != "done":
        what = {"missing": "has not ended", "failed": "has failed"}.get(found.state, f"is stale ({found.reason})")
        raise UsageError(f"teacher = {teacher}: its training {what} in {root}; run its baseline first")
    return run
