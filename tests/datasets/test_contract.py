"""A dataset that breaks the contract is refused when it is built, with its name and the rule; options of any type."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import runs

from bench.config.beforehand import prepare
from bench.config.components import build_dataset
from bench.config.registry import datasets
from bench.config.settings import Component
from bench.datasets.base import Dataset
from bench.datasets.contract import checked
from bench.errors import UsageError

POINTS = {"name": "mine", "version": "1", "train": torch.zeros(5, 2), "test": torch.zeros(4, 2)}
IMAGES = {
    **{"name": "mine", "version": "1", "levels": 17},
    **{"train": torch.zeros(5, 1, 4, 4, dtype=torch.uint8), "test": torch.full((4, 1, 4, 4), 16, dtype=torch.uint8)},
    **{"train_labels": torch.arange(5), "test_labels": torch.arange(4)},
}


@pytest.mark.parametrize(
    "facts",
    [
        POINTS,
        IMAGES,
        {**IMAGES, "levels": 256, "train_labels": None, "test_labels": None},
        POINTS | {"train_labels": torch.arange(5), "test_labels": torch.arange(4)},
        IMAGES | {"validation": IMAGES["test"], "validation_labels": torch.arange(4)},
        POINTS | {"given": lambda x: x[:, :1]},
        POINTS | {"columns": ("x", "y")},
        IMAGES | {"given": lambda k: k.flatten(1).float()},
        IMAGES | {"given": lambda k: k.float().expand(-1, 3, -1, -1)},
    ],
)
def test_what_keeps_the_contract_passes(facts: dict[str, Any]) -> None:
    dataset = Dataset(**facts)
    assert checked("mine", dataset) is dataset


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        (POINTS | {"columns": ("x",)}, r"columns = \('x',\), not a tuple of 2 names"),
        (POINTS | {"columns": ("x", "x")}, "not a tuple of 2 names"),
        (IMAGES | {"columns": ("x",)}, "columns of images"),
        (POINTS | {"version": 1}, "version is 1, not a text"),
        (POINTS | {"train": torch.zeros(0, 2)}, r"train is float32 \(0, 2\), empty"),
        (POINTS | {"train": torch.zeros(5, 2).double()}, r"train is float64 \(5, 2\), not float32 \(N, D\)"),
        (POINTS | {"test": torch.zeros(4)}, r"test is float32 \(4,\), not float32 \(N, D\) points"),
        (POINTS | {"test": torch.zeros(4, 3)}, r"a sample of train has shape \(2,\), one of test \(3,\)"),
        (POINTS | {"train": torch.zeros(5, 2, requires_grad=True)}, "without a gradient"),
        (POINTS | {"train": [[0.0, 1.0]]}, "train is list, not a tensor"),
        (POINTS | {"log_prob": lambda x: x}, r"log_prob of 4 samples is float32 \(4, 2\), not \(4,\)"),
        (IMAGES | {"levels": None}, r"train is uint8 .*, not float32 \(N, D\) points; images need `levels`"),
        (IMAGES | {"levels": 16}, "test has the value 16; with levels = 16 the highest is 15"),
        (IMAGES | {"levels": 300}, "levels = 300: 2 to 256 grey levels"),
        (IMAGES | {"levels": 256, "test": torch.zeros(4, 1, 4, 4)}, r"test is float32 .*, not uint8 \(N, C, H, W\)"),
        (IMAGES | {"train_labels": torch.arange(4)}, r"train_labels is int64 \(4,\), not int64 \(5,\)"),
        (IMAGES | {"test_labels": torch.arange(4.0)}, r"test_labels is float32 \(4,\), not int64 \(4,\)"),
        (IMAGES | {"test_labels": torch.arange(4) - 1}, r"test_labels is int64 \(4,\), not int64 \(4,\) from 0 up"),
        (POINTS | {"validation": torch.zeros(3, 5)}, r"a sample of train has shape \(2,\), one of validation \(5,\)"),
        (POINTS | {"validation_labels": torch.arange(3)}, "validation_labels without a validation split"),
        (IMAGES | {"validation": torch.zeros(3, 1, 4, 4)}, r"validation is float32 .*, not uint8 \(N, C, H, W\)"),
        (
            IMAGES | {"validation": IMAGES["test"], "validation_labels": torch.arange(3)},
            r"validation_labels is int64 \(3,\), not int64 \(4,\)",
        ),
        (IMAGES | {"test_labels": None}, "labels of train, none of test: all splits have labels, or none of them"),
        (IMAGES | {"train_labels": None}, "labels of test, none of train"),
        (IMAGES | {"validation": IMAGES["test"]}, "labels of train and test, none of validation"),
        (
            POINTS | {"validation": torch.zeros(3, 2), "validation_labels": torch.arange(3)},
            "labels of validation, none of train and test",
        ),
        (POINTS | {"given": lambda x: x[:2]}, r"given of float32 \(4, 2\) is float32 \(2, 2\)"),
        (IMAGES | {"given": lambda k: k[..., :2]}, r"given of uint8 .* is uint8 \(4, 1, 4, 2\), not \(B, C', H, W\)"),
        (IMAGES | {"given": lambda k: k[:, 0]}, r"given of uint8 \(4, 1, 4, 4\) is uint8 \(4, 4, 4\)"),
    ],
)
def test_what_breaks_it_is_named(facts: dict[str, Any], rule: str) -> None:
    with pytest.raises(UsageError, match=f"^dataset mine: .*{rule}") as caught:
        checked("mine", Dataset(**facts))
    assert "\n" not in str(caught.value)


def test_a_builder_that_gives_no_dataset() -> None:
    with pytest.raises(UsageError, match="dataset mine: its builder gives a NoneType, not a Dataset"):
        checked("mine", None)


@pytest.fixture
def centres(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """A dataset whose option is a list of lists; what it was built with."""
    built: list[Any] = []

    def build(data_dir: Path, means: list[list[float]] = [[0.0, 0.0]], shift: float = 0.0) -> Dataset:  # noqa: B006
        built.append(means)
        points = torch.tensor(means) + shift
        return Dataset("centres", "1", points.repeat(4, 1), points)

    datasets.load()
    monkeypatch.setitem(datasets._entries, "centres", build)
    yield built


def test_a_list_of_lists_is_an_option(centres: list[Any], tmp_path: Path) -> None:
    one, two = (Component(name="centres", options={"means": [[0, 1], [2, last]]}) for last in (3, 4))
    assert build_dataset(one, tmp_path).test.tolist() == [[0, 1], [2, 3]]
    assert build_dataset(two, tmp_path).test.tolist() == [[0, 1], [2, 4]]
    assert build_dataset(one, tmp_path) is build_dataset(one, tmp_path)
    assert centres == [[[0.0, 1.0], [2.0, 3.0]], [[0.0, 1.0], [2.0, 4.0]]]


def test_two_settings_of_one_dataset_are_two_datasets(centres: list[Any], tmp_path: Path) -> None:
    settings: list[dict[str, Any]] = [{}, {"shift": 1}, {"shift": 0.5}]
    built = [build_dataset(Component(name="centres", options=each), tmp_path) for each in settings]
    assert [dataset.test.tolist() for dataset in built] == [[[0, 0]], [[1, 1]], [[0.5, 0.5]]]


def test_a_dataset_is_built_again_when_a_file_of_it_changed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a worker that lives through many runs."""
    path = tmp_path / "points.txt"

    def table(data_dir: Path) -> Dataset:
        points = torch.tensor([[float(word)] for word in path.read_text().split()])
        return Dataset("table", "1", points, points)

    datasets.load()
    monkeypatch.setitem(datasets._entries, "table", table)
    component = Component(name="table")
    path.write_text("1 2 3")
    first = build_dataset(component, tmp_path)
    assert build_dataset(component, tmp_path) is first
    path.write_text("4 5 6")
    os.utime(path, (2, 2))
    assert build_dataset(component, tmp_path).test.flatten().tolist() == [4, 5, 6]


FAILURES = [RuntimeError("no\nsuch"), FileNotFoundError(2, "No such file", "x.csv"), MemoryError()]


@pytest.mark.parametrize("error", FAILURES)
def test_a_builder_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception) -> None:
    def broken(data_dir: Path) -> Dataset:
        raise error

    datasets.load()
    monkeypatch.setitem(datasets._entries, "broken", broken)
    with pytest.raises(UsageError, match=f"^dataset broken: cannot be built: {type(error).__name__}") as caught:
        build_dataset(Component(name="broken"), tmp_path)
    assert "\n" not in str(caught.value)


def test_types_that_cannot_be_checked_let_anything_pass(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of a plugin that imports them for type checkers only, or that pydantic does not know."""
    seen: list[Any] = []

    def named(data_dir: Path, law: "Unheard" = None) -> Dataset:  # type: ignore[name-defined]  # noqa: F821
        seen.append(law)
        return Dataset(**POINTS)

    def foreign(data_dir: Path, law: torch.Tensor | None = None) -> Dataset:
        seen.append(law)
        return Dataset(**POINTS)

    datasets.load()
    for name, builder in {"named": named, "foreign": foreign}.items():
        monkeypatch.setitem(datasets._entries, name, builder)
        build_dataset(Component(name=name, options={"law": [1]}), tmp_path)
    assert seen == [[1], [1]]


def test_a_bad_value_deep_in_a_list_is_one_line(centres: list[Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"dataset centres: means = .*valid number") as caught:
        build_dataset(Component(name="centres", options={"means": [[0, "x"]]}), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_network_that_does_not_fit_its_images_is_refused_before_anything_starts(tmp_path: Path) -> None:
    """8 x 8 digits and five levels: in the words of the network, without building it."""
    text = """
        protocol = "smoke"
        seeds = [0]
        [[experiments]]
        dataset = "digits"
        network = { name = "unet", channels = [8, 8, 8, 8, 8] }
        baselines = ["fm_ot"]
        training = { steps = 1, batch = 8, lr = 1e-3 }
        evaluation.samples = { n = 8, batch = 8 }
    """
    with pytest.raises(UsageError, match=r"network unet: shape = \(1, 8, 8\): sides divisible by 16 are needed for 5"):
        prepare(runs(tmp_path, text), tmp_path)
