"""The validation split: its own draws of synthetic sets, the last rows of train of real ones, and what curves see."""

from pathlib import Path
from typing import Any

import pytest
import torch

from bench.config.registry import datasets
from bench.datasets.base import Dataset
from bench.datasets.contract import checked
from bench.datasets.splits import with_validation
from bench.errors import UsageError

UNUSED = Path("unused")
IMAGES = torch.arange(12, dtype=torch.uint8).view(12, 1, 1, 1)
REAL = Dataset("real", "2", IMAGES[:8], IMAGES[8:], 256, torch.arange(8), torch.arange(4))

# The checksums of train and test before there was a validation split.
CHECKSUMS = {"moons": "6b133355f6fd96b2", "gaussian": "5610c91b05f6dccc"}


@pytest.mark.parametrize("name", CHECKSUMS)
def test_synthetic_sets_draw_a_validation_split_and_keep_the_others(name: str) -> None:
    options: dict[str, Any] = {"n_train": 300, "n_test": 200, "seed": 1}
    whole, few = (datasets[name](UNUSED, **options, n_validation=n) for n in (None, 7))
    assert whole.checksum == few.checksum == CHECKSUMS[name]
    assert whole.validation.shape == (200, 2) and few.validation.shape == (7, 2)
    rows = torch.cat([whole.train, whole.validation, whole.test])
    assert len(rows.unique(dim=0)) == 700
    assert whole.version.endswith("-300-200-1") and few.version == f"{whole.version}-validation7"
    other = datasets[name](UNUSED, **options | {"seed": 2})
    assert not torch.isin(other.validation, rows).any()


def test_validation_points_have_the_law_of_the_others() -> None:
    data = datasets["gaussian"](UNUSED, mean=[2.0, -1.0], std=[0.5, 1.5], n_train=10, n_test=20_000)
    torch.testing.assert_close(data.validation.mean(0), torch.tensor([2.0, -1.0]), atol=0.05, rtol=0)
    torch.testing.assert_close(data.validation.std(0), torch.tensor([0.5, 1.5]), atol=0.05, rtol=0)


def test_real_data_hold_back_the_last_rows_of_train_and_say_so() -> None:
    assert with_validation(REAL) is REAL and REAL.validation is None
    found = with_validation(REAL, validation=3)
    assert found.train.flatten().tolist() == [0, 1, 2, 3, 4] and found.train_labels.tolist() == [0, 1, 2, 3, 4]
    assert found.validation.flatten().tolist() == [5, 6, 7] and found.validation_labels.tolist() == [5, 6, 7]
    assert found.test is REAL.test and found.version == "2-validation3" and found.classes == 8


@pytest.mark.parametrize("n", [-1, 8, 100])
def test_a_split_that_cannot_be_held_back_is_refused(n: int) -> None:
    with pytest.raises(UsageError, match=f"^dataset real: validation = {n}: 0 to 7 training samples$"):
        with_validation(REAL, validation=n)


def test_the_option_of_real_data() -> None:
    whole, found = datasets["digits"](UNUSED), datasets["digits"](UNUSED, validation=100)
    assert whole.validation is None and len(found.train) == 1337 and found.version == "1-validation100"
    assert torch.equal(torch.cat([found.train, found.validation]), whole.train) and torch.equal(found.test, whole.test)


def test_curves_see_validation_in_the_place_of_test() -> None:
    assert REAL.for_tuning is REAL and REAL.held_out == "test"
    found = with_validation(REAL, validation=3)
    tuned = found.for_tuning
    assert tuned.test is found.validation and tuned.test_labels is found.validation_labels
    assert tuned.held_out == "validation" and tuned.train is found.train and tuned.validation is None
    assert tuned is found.for_tuning and tuned.version == found.version


def test_classes_are_counted_over_all_splits() -> None:
    assert REAL.classes == 8
    assert Dataset("none", "1", IMAGES, IMAGES, 256).classes is None


def test_a_validation_split_that_is_not_finite_is_refused() -> None:
    x = torch.zeros(4, 2)
    with pytest.raises(UsageError, match="validation split: row 1, column 0 is nan"):
        checked("bad", Dataset("bad", "1", x, x, validation=x.index_fill(0, torch.tensor([1]), torch.nan)))
