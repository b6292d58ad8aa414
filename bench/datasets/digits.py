"""The 8x8 digits that come with scikit-learn: 1,797 images of 17 grey levels, values 0 to 16.

With 17 levels instead of 256 their bits/dim has a constant of its own, log2(17 / 2) instead of 7, and compares with
no other dataset. Source: Alpaydin & Kaynak, Optical recognition of handwritten digits, UCI, 1998.
"""

import gzip
import hashlib
from importlib.util import find_spec
from pathlib import Path

import torch

from bench.datasets.base import Dataset
from bench.datasets.splits import split_by, with_validation
from bench.errors import UsageError

N_TRAIN = 1437  # four fifths
SHA256 = "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"


@split_by("digits", with_validation)
def digits(data_dir: Path) -> Dataset:
    """1,437 training and 360 test images, uint8 (N, 1, 8, 8), split by one fixed permutation.

    The table is read out of the scikit-learn package without importing it. UsageError if its bytes are not the
    known ones.
    """
    import numpy as np

    package = find_spec("sklearn")
    assert package and package.origin
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    text = gzip.decompress(path.read_bytes())
    if (found := hashlib.sha256(text).hexdigest()) != SHA256:
        raise UsageError(f"{path}: sha256 of its text is {found}, not {SHA256}: reinstall scikit-learn")
    table = torch.from_numpy(np.loadtxt(text.decode().splitlines(), delimiter=",")).to(torch.uint8)
    table = table[torch.randperm(len(table), generator=torch.Generator().manual_seed(0))]
    images, labels = table[:, :-1].reshape(-1, 1, 8, 8), table[:, -1].long()
    return Dataset(
        name="digits",
        version="1",
        train=images[:N_TRAIN],
        test=images[N_TRAIN:],
        levels=17,
        extractor="digits_cnn",
        train_labels=labels[:N_TRAIN],
        test_labels=labels[N_TRAIN:],
    )
