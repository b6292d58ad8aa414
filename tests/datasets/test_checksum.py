"""What the checksum of a dataset covers, and that those of records stay valid."""

import io
import json
import lzma
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.config.registry import datasets
from bench.datasets.base import Dataset

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
DOWNLOADED = {"mnist"}
POINTS = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
CLASSES = torch.arange(40) % 3


class Scaled:
    """A space or a source whose one weight is a factor."""

    keeps_density = True

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def encode(self, stored: Tensor, rng: torch.Generator | None = None) -> Tensor:
        return stored * self.factor

    def decode(self, x: Tensor) -> Tensor:
        return x / self.factor

    def draw(self, rng: torch.Generator) -> Tensor:
        return self.factor * torch.randn(2, generator=rng)


def data(**changes: Any) -> Dataset:
    return Dataset("any", "1", POINTS[:30], POINTS[30:], **changes)


LABELS = {"train_labels": CLASSES[:30], "test_labels": CLASSES[30:]}
LABELLED = LABELS | {"validation": POINTS, "validation_labels": CLASSES}
OTHERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "train": (LABELS, {"train_labels": 2 - CLASSES[:30]}),
    "test": (LABELS, {"test_labels": 2 - CLASSES[30:]}),
    "labels of validation": (LABELLED, {"validation_labels": 2 - CLASSES}),
    "validation": ({"validation": POINTS}, {"validation": POINTS.flip(0)}),
    "given": ({"given": lambda x: x[:, :1]}, {"given": lambda x: 1.01 * x[:, :1]}),
    "what given gives": ({"given": lambda x: x[:, :1]}, {"given": lambda x: x}),
    "space": ({"space": Scaled(2.0)}, {"space": Scaled(2.1)}),
    "source": ({"source": Scaled(2.0)}, {"source": Scaled(2.1)}),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("stamp", [None, "0123456789abcdef"])
def test_what_lies_beside_train_and_test_is_in_it(kind: str, stamp: str | None) -> None:
    facts, change = OTHERS[kind]
    one, again, other = data(**facts, stamp=stamp), data(**facts, stamp=stamp), data(**facts | change, stamp=stamp)
    bare = data(stamp=stamp)
    assert one.checksum == again.checksum and len({one.checksum, other.checksum, bare.checksum}) == 3
    assert all(len(each.checksum) == 16 for each in (one, other, bare)) and bare.checksum == (stamp or bare.checksum)


def test_what_curves_see_is_no_other_test_split() -> None:
    """Statistics of a reference are kept by the checksum, and a stamp is that of train and test."""
    found = data(validation=POINTS, stamp="0123456789abcdef").fix()
    assert found.checksum == "0123456789abcdef" != found.for_tuning.checksum


def test_the_noise_of_another_machine_is_not() -> None:
    assert data(space=Scaled(2.0)).checksum == data(space=Scaled(2.0 + 1e-6)).checksum


def test_a_fixed_set_is_known_by_train_and_test_and_a_copy_of_it_is_not_fixed() -> None:
    fixed = data(**LABELS).fix()
    assert fixed.fixed and fixed.checksum == data().checksum
    turned = replace(fixed, train_labels=2 - CLASSES[:30])
    assert not turned.fixed and turned.checksum not in (fixed.checksum, data(**LABELS).checksum)


@pytest.mark.parametrize("archive", ["toys", "images"])
def test_the_checksums_of_records_are_valid(archive: str) -> None:
    with tarfile.open(fileobj=io.BytesIO(lzma.decompress((REFERENCE / f"{archive}.tar.xz").read_bytes()))) as tar:
        names = [name for name in tar.getnames() if name.endswith("/train.json")]
        records = [json.load(file) for name in names if (file := tar.extractfile(name))]
    versions = {record["dataset"]: record["dataset_version"] for record in records}
    for name in versions.keys() - DOWNLOADED:
        found = datasets[name](Path("unused"))
        assert f"{found.version}:{found.checksum}" == versions[name]


@pytest.mark.parametrize("name", ["digits", "digits_4_to_8", "8gaussians", "gaussian", "gaussian_mixture"])
@pytest.mark.parametrize("held_back", [None, 7])
def test_sets_of_this_package_are_fixed(name: str, held_back: int | None) -> None:
    key = "validation" if name.startswith("digits") else "n_validation"
    found = datasets[name](Path("unused"), **({key: held_back} if held_back else {}))
    assert found.fixed and found.checksum == Dataset(name, "1", found.train, found.test, found.levels).checksum
