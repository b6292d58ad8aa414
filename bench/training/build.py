"""What a method is made of: the module in training, built by its baseline from the run's network and from teachers."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.config import components
from bench.config.settings import Component
from bench.config.suite import Run
from bench.datasets.base import Dataset
from bench.errors import NotApplicable, UsageError, one_line
from bench.methods.baseline import Baseline
from bench.records.disk import NoSpace
from bench.training.teachers import Teachers, load, trained_run


class Build:
    """The `make` of Baseline.build for one dataset and network.

    Attributes:
        teachers: the files of weights that were loaded.
    """

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
        """The frozen network, with its averaged weights, of a run of the same results folder or of a file.

        Args:
            teacher: a run's id, or the path of a checkpoint or of a state_dict for `network(**inputs)`.

        Raises:
            UsageError: there is no such training, it has not ended, or its weights are not those of the network.
        """
        with torch.random.fork_rng(devices=[]):  # the student begins as it would without a teacher
            if run := trained_run(self.root, teacher):
                origin = Build(
                    run.network, components.build_dataset(run.dataset, self.data_dir), self.root, self.data_dir
                )
                module = origin.module(components.build_baseline(run.baseline))
                self.teachers |= origin.teachers
            else:
                module = self.network(**inputs)
        self.teachers |= load(module, self.root, teacher)
        return module.eval().requires_grad_(False)

    def module(self, baseline: Baseline) -> nn.Module:
        """The module of a baseline.

        Raises:
            UsageError: its `build` fails, or gives no module that can be trained.
            NotApplicable: it is not made for such data.
        """
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
    """The module of a run, from its seed, and its teachers."""
    make = Build(run.network, dataset, root, data_dir)
    torch.manual_seed(run.seed)
    return make.module(components.build_baseline(run.baseline)), make.teachers
