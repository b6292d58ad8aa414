"""What a method is made of: the module in training, built by its baseline from the run's network and from teachers.

A teacher's weights were trained before: those of a run, from its checkpoint and the configuration in its record, or
those of a file.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from bench.config import components
from bench.config.settings import Component
from bench.config.suite import RUN_ID, Run
from bench.datasets.base import Dataset
from bench.errors import NotApplicable, UsageError, one_line
from bench.identity.inputs import of_open
from bench.methods.baseline import Baseline
from bench.records.disk import NoSpace
from bench.records.records import run_folder, trained
from bench.records.seal import CHANGED, check

Teachers = dict[str, dict[str, Any]]  # the file of each, with its size, time and SHA-256 as it was loaded


class Build:
    """The `make` of Baseline.build for one dataset and network, with the `teachers` that it has loaded."""

    def __init__(self, network: Component, dataset: Dataset, root: Path, data_dir: Path) -> None:
        self.component, self.dataset, self.root, self.data_dir = network, dataset, root, data_dir
        self.teachers: Teachers = {}

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
                dataset = components.build_dataset(run.dataset, self.data_dir)
                origin = Build(run.network, dataset, self.root, self.data_dir)
                module = origin.module(components.build_baseline(run.baseline))
                self.teachers |= origin.teachers
            else:
                module = self.network(**inputs)
        path = run_folder(self.root, teacher) / "checkpoint.pt" if run else Path(teacher).expanduser()
        if not path.is_file():
            raise UsageError(f"teacher = {teacher}: expected the id of a trained run or a file; there is no {path}")
        if check(path) == CHANGED:
            raise UsageError(f"{path}: {CHANGED}")
        with path.open("rb") as file:
            self.teachers[os.path.abspath(path)] = of_open(file)
            _load(module, path, file)
        return module.eval().requires_grad_(False)

    def module(self, baseline: Baseline) -> nn.Module:
        """The module of a baseline: UsageError if its `build` fails, or gives no module that can be trained."""
        what = f"baseline {baseline.name}: build(make, data)"
        try:
            module: object = baseline.build(self, components.about(self.dataset))
        except (UsageError, NotApplicable, NoSpace, MemoryError):
            raise
        except Exception as error:
            raise UsageError(f"{what}: {one_line(error)[:300]}") from error
        if not isinstance(module, nn.Module):
            raise UsageError(f"{what} gives a {type(module).__name__}, not an nn.Module or an nn.ModuleDict of several")
        if not any(p.requires_grad for p in module.parameters()):
            raise UsageError(f"{what} gives no parameter that can be trained")
        return module


def build(run: Run, dataset: Dataset, root: Path, data_dir: Path) -> tuple[nn.Module, Teachers]:
    """The module of a run, from its seed, and its teachers; UsageError for a file that is not that of its identity."""
    make = Build(run.network, dataset, root, data_dir)
    torch.manual_seed(run.seed)
    module = make.module(components.build_baseline(run.baseline))
    loaded = [teacher["sha256"] for teacher in make.teachers.values()]
    if run.teacher_sha256 and loaded and run.teacher_sha256 not in loaded:
        raise UsageError(
            f"teacher = {run.baseline.options['teacher']}: its SHA-256 is {loaded[0][:12]}..., but it was "
            f"{run.teacher_sha256[:12]}... when the run was planned; call run_all.py again for a run of this content"
        )
    return module, make.teachers


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


def _load(module: nn.Module, path: Path, file: Any) -> None:
    """Load a checkpoint (bench/training/checkpoint.py), averaged weights where it has them, or a state_dict.

    UsageError if it is neither, its tensors are not those of the module, or they are not finite.
    """
    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a foreign file makes torch raise
        raise UsageError(f"{path}: it holds no tensors: {one_line(error)[:200]}") from error
    if not isinstance(content, Mapping):
        raise UsageError(f"{path}: a {type(content).__name__}; expected a checkpoint or a state_dict")
    is_checkpoint = {"module", "average"} <= content.keys()
    try:
        module.load_state_dict(content["module"] if is_checkpoint else content)
        if is_checkpoint:
            for parameter, average in zip(module.parameters(), content["average"], strict=True):
                if parameter.requires_grad:  # of a frozen one there is no average
                    parameter.data.copy_(average)
    except Exception as error:
        raise UsageError(f"{path}: not the weights of this network: {one_line(error)[:300]}") from error
    if not all(bool(torch.isfinite(p).all()) for p in module.parameters() if p.requires_grad):
        raise UsageError(f"{path}: its weights are not finite")
