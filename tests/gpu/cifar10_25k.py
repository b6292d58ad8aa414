"""CIFAR-10 cut to the images that `pieces` carries: a dataset of its own name, so that its FID has rows of its own."""

from pathlib import Path

import numpy as np
import torch

from bench.config.registry import register_dataset
from bench.datasets.base import Dataset
from bench.errors import UsageError

TRAIN = 20_000


@register_dataset("cifar10_25k")
def cifar10_25k(data_dir: Path) -> Dataset:
    """The first 20,000 + 5,000 images of CIFAR-10, which come in random order, of shape (3, 32, 32)."""
    folder = data_dir / "cifar10_25k"
    if not (folder / "images.npy").exists():
        raise UsageError(f"{folder}: no images.npy; tests/gpu/run unpacks it")
    images, labels = (torch.from_numpy(np.load(folder / f"{name}.npy")) for name in ("images", "labels"))
    return Dataset(
        name="cifar10_25k",
        version="1",
        train=images[:TRAIN],
        test=images[TRAIN:],
        train_labels=labels[:TRAIN].long(),
        test_labels=labels[TRAIN:].long(),
        levels=256,
        extractor="inception",
    )
