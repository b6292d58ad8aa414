"""ImageNet (ILSVRC 2012: 1.28 million photographs, 1000 classes) at 32, 64, 128 and 256 pixels a side.

Bits/dim depends on how the photographs were made small, so the version says it. Of ImageNet-32 and -64 there are two:

    chrabaszcz2017    10 + 1 batches, each a pickle or .npz of 'data' (N, 3 S^2) uint8, the red plane first, each plane
                      row by row, and 'labels' in 1..1000 (in the order of map_clsloc.txt); 1,281,167 + 50,000 images
    vandenoord2016    folders of PNGs without labels; 1,281,149 + 49,999 images

At 128 and 256 the photographs themselves are cropped and resized (see imagefolder). The validation set is the test
split. Both splits are packed in one fixed random order (see order). The images may not be passed on: whoever wants them
puts them into DATA_DIR. A pickle can carry code, so that none is trusted: what makes its arrays is ours.

Chrabaszcz, Loshchilov & Hutter (2017), arXiv:1707.08819. Van den Oord, Kalchbrenner & Kavukcuoglu (2016),
arXiv:1601.06759.
"""

import pickle
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.datasets.base import Dataset
from bench.datasets.builder import finished
from bench.datasets.imagefolder import folders, image_parts, left_out, photographs
from bench.datasets.packed import packed
from bench.datasets.parts import Block, Originals, Part, file_of
from bench.datasets.splits import with_validation
from bench.errors import UsageError

TRAIN_BATCHES = tuple(f"train_data_batch_{number}" for number in range(1, 11))
TEST_BATCH = "val_data"
CLASSES = 1000
HOME = "ImageNet may not be passed on: get it from image-net.org with an account of your own"


@finished("imagenet32", with_validation)
def imagenet32(data_dir: Path) -> Dataset:
    """ImageNet-32 of either version from DATA_DIR/imagenet32; images of shape (3, 32, 32)."""
    return _downsampled(32, data_dir)


@finished("imagenet64", with_validation)
def imagenet64(data_dir: Path) -> Dataset:
    """ImageNet-64 of either version from DATA_DIR/imagenet64; images of shape (3, 64, 64)."""
    return _downsampled(64, data_dir)


@finished("imagenet128", with_validation)
def imagenet128(data_dir: Path) -> Dataset:
    """Centre squares of DATA_DIR/imagenet/{train,val}/CLASS/*.JPEG as images of shape (3, 128, 128)."""
    return _photographs(128, data_dir)


@finished("imagenet256", with_validation)
def imagenet256(data_dir: Path) -> Dataset:
    """Centre squares of DATA_DIR/imagenet/{train,val}/CLASS/*.JPEG as images of shape (3, 256, 256)."""
    return _photographs(256, data_dir)


def _downsampled(size: int, data_dir: Path) -> Dataset:
    name, folder = f"imagenet{size}", data_dir / f"imagenet{size}"
    expected = (
        f"no images in {folder}; expected there train_data_batch_1..{len(TRAIN_BATCHES)} and {TEST_BATCH}, pickled or "
        f".npz (Chrabaszcz et al. 2017), or train_{size}x{size}/*.png and valid_{size}x{size}/*.png "
        f"(van den Oord et al. 2016); {HOME}"
    )
    return packed(name, folder / "packed", (3, size, size), partial(_downsampled_sources, folder, size), expected)


def _downsampled_sources(folder: Path, size: int) -> Originals | None:
    batch_names = (*TRAIN_BATCHES, TEST_BATCH)
    image_names = (f"train_{size}x{size}", f"valid_{size}x{size}")
    batches = _found(folder, [(name, f"{name}.npz") for name in batch_names], Path.is_file)
    images = _found(folder, [(name,) for name in image_names], Path.is_dir)
    if batches and images:
        first, second = (next(iter(found.values())) for found in (batches, images))
        raise UsageError(
            f"{folder}: {first.relative_to(folder)} (Chrabaszcz et al. 2017) and {second.relative_to(folder)} (van den "
            "Oord et al. 2016) are two versions of ImageNet; keep one"
        )
    if batches:
        _all_there(folder, batches, batch_names)
        parts = [_batch_part(batches[name], size) for name in batch_names]
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


def _found(folder: Path, names: Sequence[tuple[str, ...]], there: Callable[[Path], bool]) -> dict[str, Path]:
    """Where each thing lies, under any of its names, in `folder` or a folder in it; UsageError if it is there twice."""
    places = (folder, *(folder / name for name in folders(folder)))
    found: dict[str, Path] = {}
    for aliases in names:
        paths = [path for place in places for name in aliases if there(path := place / name)]
        if len(paths) > 1:
            raise UsageError(f"{paths[0]} and {paths[1]} are one part of the data twice; keep one")
        if paths:
            found[aliases[0]] = paths[0]
    return found


def _all_there(folder: Path, found: Mapping[str, Path], names: Sequence[str]) -> None:
    if missing := [name for name in names if name not in found]:
        raise UsageError(f"{folder}: {', '.join(missing)} missing; {len(found)} of the {len(names)} are there")


def _batch_part(path: Path, size: int) -> Part:
    return Part(path.name, path.parent, (file_of(path),), partial(read_batch, path, size))


def read_batch(path: Path, size: int) -> Block:
    """Images (N, 3, S, S) uint8 and labels (N,) in 0..999 of a batch; UsageError where it is none of that size."""
    try:
        contents = _npz(path) if path.suffix == ".npz" else _unpickled(path)
        data, labels = np.asarray(contents["data"]), np.asarray(contents["labels"])
    except Exception as error:  # bytes that are no batch fail in many ways
        reason = f"no {error}" if isinstance(error, KeyError) else error or type(error).__name__
        raise UsageError(f"{path}: not a whole pickle or .npz with 'data' and 'labels': {reason}") from error
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


def _npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in ("data", "labels")}


def _unpickled(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        contents = _Unpickler(file, encoding="latin1").load()  # the strings of Python 2
    if not isinstance(contents, dict):
        raise pickle.UnpicklingError(f"a {type(contents).__name__}, not a dict")
    return {key: _plain(contents[key]) for key in ("data", "labels")}


class _Dtype:
    """The pickled state of a numpy.dtype. Numpy itself would trust it, and read where a forged one points."""

    def __init__(self, name: str, *_: object) -> None:
        self.name, self.order = name, ""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]


class _Array:
    """The pickled state of a numpy.ndarray: shape, dtype, bytes, and whether these are in Fortran's order."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.dtype, self.fortran, self.data = state

    def array(self) -> NDArray[Any]:
        data = self.data.encode("latin1") if isinstance(self.data, str) else self.data
        values = np.frombuffer(data, np.dtype(self.dtype.order + self.dtype.name))
        return values.reshape(self.shape, order="F" if self.fortran else "C")


def _plain(value: Any) -> Any:
    """A value with every array in it made."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.array() if isinstance(value, _Array) else value


def _scalar(dtype: _Dtype, data: Any) -> _Array:
    return _array(data, dtype, (), "C")


def _array(data: Any, dtype: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
    array = _Array()
    array.__setstate__((1, shape, dtype, order == "F", data))
    return array


ADMITTED: dict[str, Any] = {
    "numpy.ndarray": _Array,
    "numpy.dtype": _Dtype,
    "_codecs.encode": lambda text, encoding: text.encode("latin1"),  # how protocol 2 writes bytes
} | {
    f"numpy.{core}.{name}": stand_in
    for core in ("core", "_core")
    for name, stand_in in (
        ("multiarray._reconstruct", _Array),
        ("multiarray.scalar", _scalar),
        ("numeric._frombuffer", _array),  # protocol 5
    )
}


class _Unpickler(pickle.Unpickler):
    """Admits what numpy's arrays and scalars are pickled with, and stands in for it; imports nothing."""

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in; UnpicklingError where there is none."""
        if (wanted := f"{module}.{name}") not in ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {wanted}, which no array needs")
        return ADMITTED[wanted]
