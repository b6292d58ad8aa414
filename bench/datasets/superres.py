"""Super-resolution: draw the image that a small image was made from (Saharia et al. 2021; Lipman et al. 2023, table 2).

A large image k is made small by antialiased bicubic interpolation, rounded to an image's grey levels, and made large
again by bicubic interpolation: c = up(round(down(k))). That is what a model is given, as further channels beside x. The
images, their splits and their versions are those of the large dataset.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from torch import Tensor
from torch.nn.functional import interpolate

from bench.config.registry import datasets
from bench.datasets.base import Dataset
from bench.datasets.splits import split_by, with_validation


def degraded(images: Tensor, side: int, top: int = 255) -> Tensor:
    """uint8 images (B, C, H, H) through side x side pixels and back: grey values up to `top`, float32 (B, C, H, H)."""
    small = interpolate(images.float(), (side, side), mode="bicubic", antialias=True).round().clamp(0, top)
    return interpolate(small, images.shape[-2:], mode="bicubic").clamp(0, top)


def enlarged(dataset: Dataset, side: int) -> Callable[[Tensor], Tensor]:
    """Stored images -> the enlarged small ones in model space, each grey level at the centre of its bin."""
    assert dataset.levels is not None
    top = dataset.levels - 1
    return lambda images: dataset.encode(degraded(images, side, top))


def _enlarging(name: str, large: str, side: int, data_dir: Path) -> Dataset:
    dataset = datasets[large](data_dir)
    return replace(dataset, name=name, given=enlarged(dataset, side))


@split_by("digits_4_to_8", with_validation)
def digits_4_to_8(data_dir: Path) -> Dataset:
    """The digits, from 4 x 4 to 8 x 8 pixels: a task to try a method on, without a download."""
    return replace(_enlarging("digits_4_to_8", "digits", 4, data_dir), extractor="digits_4_to_8_cnn")


@split_by("cifar10_8_to_32", with_validation)
def cifar10_8_to_32(data_dir: Path) -> Dataset:
    """CIFAR-10, from 8 x 8 to 32 x 32 pixels."""
    return _enlarging("cifar10_8_to_32", "cifar10", 8, data_dir)


@split_by("imagenet64_to_256", with_validation)
def imagenet64_to_256(data_dir: Path) -> Dataset:
    """ImageNet, from 64 x 64 to 256 x 256 pixels: the task of the paper's table 2."""
    return _enlarging("imagenet64_to_256", "imagenet256", 64, data_dir)
