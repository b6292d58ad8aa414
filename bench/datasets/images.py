"""MNIST, Fashion-MNIST and CIFAR-10: 8-bit images, the published split, no augmentation.

Each split is put in one fixed random order (see `order`): the first half of MNIST's test images is by neater writers.

idx (MNIST's format) is two zero bytes, the type (8: uint8), the number of axes, each axis as a big-endian uint32, then
the values in C order. A record of CIFAR-10's binary version is the label's byte, then 3 x 32 x 32 values. Neither
format can carry code, as the pickles of CIFAR-10's Python version can.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.datasets.base import Dataset
from bench.datasets.mirrors import files
from bench.datasets.order import shuffled
from bench.datasets.splits import split_by, with_validation
from bench.errors import UsageError

VERSION = "2"  # 1 had the published order
CIFAR10_SHAPE = (3, 32, 32)
UINT8 = 8


@split_by("mnist", with_validation)
def mnist(data_dir: Path) -> Dataset:
    """Handwritten digits (LeCun et al., 1998): 60,000 + 10,000 images of shape (1, 28, 28), 10 classes."""
    return _from_idx("mnist", data_dir)


@split_by("fashion_mnist", with_validation)
def fashion_mnist(data_dir: Path) -> Dataset:
    """Clothes (Xiao et al., 2017): 60,000 + 10,000 images of shape (1, 28, 28), 10 classes."""
    return _from_idx("fashion_mnist", data_dir)


@split_by("cifar10", with_validation)
def cifar10(data_dir: Path) -> Dataset:
    """Small photographs (Krizhevsky, 2009): 50,000 + 10,000 images of shape (3, 32, 32), 10 classes."""
    paths = files("cifar10", data_dir)
    batches = {name: read_cifar10(path) for name, path in paths.items()}
    train = [batch for name, batch in batches.items() if name != "test_batch.bin"]
    test, test_labels = batches["test_batch.bin"]
    return Dataset(
        name="cifar10",
        version=VERSION,
        train=shuffled(torch.cat([images for images, _ in train])),
        test=shuffled(test),
        train_labels=shuffled(torch.cat([labels for _, labels in train])),
        test_labels=shuffled(test_labels),
        levels=256,
        extractor="inception",
    )


def _from_idx(name: str, data_dir: Path) -> Dataset:
    arrays = {file: shuffled(read_idx(path)) for file, path in files(name, data_dir).items()}
    return Dataset(
        name=name,
        version=VERSION,
        train=arrays["train-images-idx3-ubyte"].unsqueeze(1),
        test=arrays["t10k-images-idx3-ubyte"].unsqueeze(1),
        train_labels=arrays["train-labels-idx1-ubyte"].long(),
        test_labels=arrays["t10k-labels-idx1-ubyte"].long(),
        levels=256,
        extractor=f"{name}_cnn",
    )


def read_idx(path: Path) -> Tensor:
    """The uint8 array in an idx file, in its own shape; UsageError where it is not such a file."""
    data = np.fromfile(path, dtype=np.uint8)
    if len(data) < 4 or tuple(data[:3]) != (0, 0, UINT8):
        raise UsageError(f"{path}: not an idx file of bytes")
    start = 4 + 4 * int(data[3])
    shape = tuple(np.frombuffer(data[4:start].tobytes(), dtype=">u4").tolist()) if len(data) >= start else (-1,)
    if len(data) - start != np.prod(shape):
        raise UsageError(f"{path}: {len(data)} bytes do not hold the array of shape {shape} that it announces")
    return torch.from_numpy(data[start:].reshape(shape))


def read_cifar10(path: Path) -> tuple[Tensor, Tensor]:
    """Images (N, 3, 32, 32) uint8 and labels (N,) int64 of a file; UsageError where its records are not whole."""
    data = np.fromfile(path, dtype=np.uint8)
    record = 1 + int(np.prod(CIFAR10_SHAPE))
    if len(data) == 0 or len(data) % record:
        raise UsageError(f"{path}: {len(data)} bytes are not whole records of {record}")
    records = torch.from_numpy(data).view(-1, record)
    return records[:, 1:].reshape(-1, *CIFAR10_SHAPE).contiguous(), records[:, 0].long()
