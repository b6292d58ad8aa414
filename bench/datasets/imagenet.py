"""ImageNet (ILSVRC 2012: 1.28 million photographs, 1000 classes) at 32, 64, 128 and 256 pixels a side.

Bits/dim depends on how the photographs were made small, so the version says it. Of ImageNet-32 and -64 there are two:

    chrabaszcz2017    10 + 1 batches, each a .npz of 'data' (N, 3 S^2) uint8, the red plane first, each plane row by
                      row, and 'labels' in 1..1000 (in the order of map_clsloc.txt); 1,281,167 + 50,000 images
    vandenoord2016    folders of PNGs without labels; 1,281,149 + 49,999 images

At 128 and 256 the photographs themselves are cropped and resized (see imagefolder). The validation set is the test
split. Both splits are packed in one fixed random order (see order). The images may not be passed on: whoever wants them
puts them into DATA_DIR. The batches were passed around as pickles, too: these can carry code and are not read.

Chrabaszcz, Loshchilov & Hutter (2017), arXiv:1707.08819. Van den Oord, Kalchbrenner & Kavukcuoglu (2016),
arXiv:1601.06759.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from bench.datasets.base import Dataset
from bench.datasets.imagefolder import folders, image_parts, left_out, photographs
from bench.datasets.packed import packed
from bench.datasets.parts import Block, Originals, Part, file_of
from bench.datasets.splits import split_by, with_validation
from bench.errors import UsageError, one_line

BATCHES = (*(f"train_data_batch_{number}.npz" for number in range(1, 11)), "val_data.npz")
CLASSES = 1000
HOME = "ImageNet may not be passed on: get it from image-net.org with an account of your own"


@split_by("imagenet32", with_validation)
def imagenet32(data_dir: Path) -> Dataset:
    """ImageNet-32 of either version from DATA_DIR/imagenet32; images of shape (3, 32, 32)."""
    return _downsampled(32, data_dir)


@split_by("imagenet64", with_validation)
def imagenet64(data_dir: Path) -> Dataset:
    """ImageNet-64 of either version from DATA_DIR/imagenet64; images of shape (3, 64, 64)."""
    return _downsampled(64, data_dir)


@split_by("imagenet128", with_validation)
def imagenet128(data_dir: Path) -> Dataset:
    """Centre squares of DATA_DIR/imagenet/{train,val}/CLASS/*.JPEG as images of shape (3, 128, 128)."""
    return _photographs(128, data_dir)


@split_by("imagenet256", with_validation)
def imagenet256(data_dir: Path) -> Dataset:
    """Centre squares of DATA_DIR/imagenet/{train,val}/CLASS/*.JPEG as images of shape (3, 256, 256)."""
    return _photographs(256, data_dir)


def _downsampled(size: int, data_dir: Path) -> Dataset:
    name, folder = f"imagenet{size}", data_dir / f"imagenet{size}"
    expected = (
        f"no images in {folder}; expected there {BATCHES[0]} to {BATCHES[-2]} and {BATCHES[-1]} (Chrabaszcz et al. "
        "2017; pickles are not read: of one that you trust np.savez(f'{name}.npz', **np.load(name, allow_pickle=True)) "
        f"makes a .npz), or train_{size}x{size}/*.png and valid_{size}x{size}/*.png (van den Oord et al. "
        f"2016); {HOME}"
    )
    return packed(name, folder / "packed", (3, size, size), partial(_downsampled_sources, folder, size), expected)


def _downsampled_sources(folder: Path, size: int) -> Originals | None:
    image_names = (f"train_{size}x{size}", f"valid_{size}x{size}")
    batches, images = _found(folder, BATCHES, Path.is_file), _found(folder, image_names, Path.is_dir)
    if batches and images:
        first, second = (next(iter(found.values())) for found in (batches, images))
        raise UsageError(
            f"{folder}: {first.relative_to(folder)} (Chrabaszcz et al. 2017) and {second.relative_to(folder)} (van den "
            "Oord et al. 2016) are two versions of ImageNet; keep one"
        )
    if batches:
        _all_there(folder, batches, BATCHES)
        parts = [Part(name, (file_of(path),), partial(read_batch, path, size)) for name, path in batches.items()]
        return Originals("chrabaszcz2017", True, {"train": parts[:-1], "test": parts[-1:]})
    if images:
        _all_there(folder, images, image_names)
        train, test = (image_parts(images[name].parent, name, size, crop=False) for name in image_names)
        stray = partial(left_out, list(images.values()))
        return Originals("vandenoord2016", False, {"train": train, "test": test}, stray)
    return None


def _photographs(size: int, data_dir: Path) -> Dataset:
    name, folder = f"imagenet{size}", data_dir / "imagenet"
    expected = f"no images in {folder}; expected there train/CLASS/*.JPEG and val/CLASS/*.JPEG; {HOME}"
    find = partial(photographs, folder, size)
    return packed(name, data_dir / name / "packed", (3, size, size), find, expected)


def _found(folder: Path, names: Sequence[str], is_there: Callable[[Path], bool]) -> dict[str, Path]:
    """Where each name lies, in `folder` or a folder in it; UsageError if it is there twice."""
    places = (folder, *(folder / name for name in folders(folder)))
    found: dict[str, Path] = {}
    for name in names:
        paths = [path for place in places if is_there(path := place / name)]
        if len(paths) > 1:
            raise UsageError(f"{paths[0]} and {paths[1]} are one part of the data twice; keep one")
        if paths:
            found[name] = paths[0]
    return found


def _all_there(folder: Path, found: Mapping[str, Path], names: Sequence[str]) -> None:
    if missing := [name for name in names if name not in found]:
        raise UsageError(f"{folder}: {', '.join(missing)} missing; {len(found)} of the {len(names)} are there")


def read_batch(path: Path, size: int) -> Block:
    """Images (N, 3, S, S) uint8 and labels (N,) in 0..999 of a batch; UsageError where it is none of that size."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            data, labels = archive["data"], archive["labels"]
    except Exception as error:  # bytes that are no batch fail in many ways
        raise UsageError(f"{path}: not a whole .npz with 'data' and 'labels': {one_line(error)}") from error
    width = 3 * size * size
    if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != width or not len(data):
        raise UsageError(
            f"{path}: 'data' is {data.dtype} {data.shape}, expected uint8 (N, {width}) for {size} x {size}"
        )
    if labels.shape != (len(data),) or labels.dtype.kind not in "iu":
        raise UsageError(f"{path}: 'labels' is {labels.dtype} {labels.shape}, expected {len(data)} integers, one a row")
    if labels.min() < 1 or labels.max() > CLASSES:
        raise UsageError(f"{path}: 'labels' from {labels.min()} to {labels.max()}, expected within 1..{CLASSES}")
    return data.reshape(-1, 3, size, size), labels.astype(np.int64) - 1
