"""A folder of anybody's images; bench/datasets/layout.py says how they may lie, and decoding.py what pixels are."""

from pathlib import Path
from typing import Literal

from bench.config.registry import register_dataset
from bench.datasets.base import Dataset
from bench.datasets.cuts import Amount
from bench.datasets.layout import LAYOUTS, arranged
from bench.datasets.order import SEED
from bench.datasets.own import Crop, Own, Place


@register_dataset("folder")
def folder(
    data_dir: Path,
    path: Place,
    size: int,
    channels: Literal[1, 3] = 3,
    crop: Crop = "centre",
    test: Amount | None = None,
    validation: Amount = 0,
    seed: int = SEED,
    extractor: str = "",
) -> Dataset:
    """Images of your own from a folder: classes from its folders, splits from train/, test/ and validation/.

    Args:
        path: the folder, from DATA_DIR on if it is relative.
        size: pixels a side.
        channels: 3 for colours, 1 for grey.
        crop: "centre" makes a centre square small or large; with "exact" all images must have `size` already.
        test, validation: a count, or a share of train, cut off train if there is no such folder; a tenth for test.
        seed: of the fixed order, and so of what is cut.
        extractor: of features (bench/metrics/extractors/catalogue.py).
    """
    own = Own("folder", data_dir, path, size, channels, crop, test, validation, seed, extractor)
    return own.dataset(arranged, LAYOUTS)
