"""What a cell is made of before anything is there: teachers that are not trained, data that are not downloaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from bench.config import components
from bench.config.settings import Component
from bench.config.suite import Run
from bench.datasets.base import Dataset
from bench.datasets.splits import with_validation
from bench.datasets.superres import enlarged
from bench.training.build import Build


class Untrained(Build):
    """The `make` of Baseline.build; the network of a teacher that is planned is as it begins."""

    def __init__(self, run: Run, dataset: Dataset, root: Path, data_dir: Path, planned: Mapping[str, Run]) -> None:
        super().__init__(run.network, dataset, root, data_dir)
        self.planned = planned

    def pretrained(self, teacher: str, **inputs: Any) -> nn.Module:
        run = self.planned.get(teacher)
        if run is None:
            return super().pretrained(teacher, **inputs)
        origin = Untrained(run, self.dataset, self.root, self.data_dir, self.planned)
        return origin.module(components.build_baseline(run.baseline)).eval().requires_grad_(False)


class Declared(NamedTuple):
    """A published set: its folder below the data, (C, S, S), images in train and test, classes, and extractor."""

    folder: str
    shape: tuple[int, int, int]
    train: int
    test: int
    classes: int
    extractor: str = "inception"
    side: int = 0  # of the small images that its own are made from


_CIFAR10 = Declared("cifar10", (3, 32, 32), 50_000, 10_000, 10)
_IMAGENET = {
    side: Declared(f"imagenet{side}" if side < 128 else "imagenet", (3, side, side), 1_281_167, 50_000, 1000)
    for side in (32, 64, 128, 256)
}
DECLARED = {
    "mnist": Declared("mnist", (1, 28, 28), 60_000, 10_000, 10, "mnist_cnn"),
    "fashion_mnist": Declared("fashion_mnist", (1, 28, 28), 60_000, 10_000, 10, "fashion_mnist_cnn"),
    "cifar10": _CIFAR10,
    "cifar10_8_to_32": _CIFAR10._replace(side=8),
    **{f"imagenet{side}": declared for side, declared in _IMAGENET.items()},
    "imagenet64_to_256": _IMAGENET[256]._replace(side=64),
}


def dataset(component: Component, data_dir: Path, seed: int) -> tuple[Dataset, bool]:
    """The dataset, and whether a stand-in takes its place: a published one that is not here is not fetched."""
    declared = DECLARED.get(component.name)
    if declared is None or any((data_dir / declared.folder).glob("*")):
        return components.build_dataset(component, data_dir, seed), False
    image = torch.randint(256, (1, *declared.shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    label = torch.tensor([declared.classes - 1])
    found = Dataset(
        component.name,
        "stand-in",
        image.expand(declared.train, *declared.shape),
        image.expand(declared.test, *declared.shape),
        levels=256,
        train_labels=label.expand(declared.train),
        test_labels=label.expand(declared.test),
        extractor=declared.extractor,
        stamp="stand-in",
    )
    if declared.side:
        found = Dataset(**{**vars(found), "given": enlarged(found, declared.side)})
    return with_validation(found, validation=component.options.get("validation", 0)), True
