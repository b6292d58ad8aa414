"""Points from files of every kind: the values that were written, scaled and back, and every fault by name."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from bench.config.components import build_dataset
from bench.config.registry import datasets
from bench.config.settings import Component
from bench.datasets.base import Dataset
from bench.datasets.order import permutation
from bench.datasets.scaling import Scaling, scaled_by
from bench.errors import UsageError
from bench.evaluation.pictures import of_samples
from bench.identity import inputs

VALUES = np.random.default_rng(0).normal([3.0, -2.0, 100.0], [0.5, 2.0, 10.0], (40, 3))
CLASSES = np.arange(40) % 3


def opened(tmp_path: Path, path: str, **options: Any) -> Dataset:
    return build_dataset(Component(name="points", options={"path": path, **options}), tmp_path)


def write(path: Path, values: np.ndarray, names: str = "abcdef") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".npy":
        with path.open("wb") as file:
            np.save(file, values)
    elif path.suffix == ".parquet":
        parquet.write_table(pa.table({names[i]: values[:, i] for i in range(values.shape[1])}), path)
    else:
        separator = "," if path.suffix.lower() == ".csv" else "\t"
        header = separator.join(names[: values.shape[1]]) if names else ""
        lines = [separator.join(map(repr, row)) for row in values.tolist()]
        path.write_text("\n".join([*([header] if header else []), *lines]) + "\n")


@pytest.mark.parametrize("name", ["x.npy", "x.csv", "x.tsv", "x.parquet", "X.CSV", "x.NPY"])
def test_a_file_is_read_and_cut_in_the_fixed_order(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, VALUES)
    noted: set[str] = set()
    with inputs.noted(noted):
        data = opened(tmp_path, name, scaling="none", validation=10)
    ordered = torch.from_numpy(VALUES[permutation(40)]).float()
    assert torch.equal(data.train, ordered[:26]) and torch.equal(data.validation, ordered[26:36])
    assert torch.equal(data.test, ordered[36:])
    assert (data.name, data.version) == ("points", "1-none-test0.1-validation10")
    assert data.space is None and data.log_volume == 0 and data.levels is data.train_labels is None
    assert set(inputs.described(noted)) == {str(tmp_path / name)}  # by which a record tells other data
    other = datasets["points"](tmp_path, name, scaling="none", seed=4)
    assert torch.equal(torch.cat([other.train, other.test]), torch.from_numpy(VALUES[permutation(40, 4)]).float())


def test_a_file_without_a_header_and_a_line_of_one_number(tmp_path: Path) -> None:
    write(tmp_path / "x.csv", VALUES, "")
    chosen = opened(tmp_path, "x.csv", columns=[2, "0"], scaling="none")
    assert torch.equal(chosen.train, torch.from_numpy(VALUES[permutation(40)][:36][:, [2, 0]]).float())
    write(tmp_path / "z.csv", VALUES, "012")  # as pandas names columns that have no names
    assert torch.equal(opened(tmp_path, "z.csv", scaling="none").train[:, [2, 0]], chosen.train)
    np.save(tmp_path / "y.npy", VALUES[:, 0].astype(np.float32))
    assert opened(tmp_path, "y.npy").shape == (1,)


@pytest.mark.parametrize("kind", ["npy", "csv", "parquet", "CSV"])
def test_a_file_a_split(tmp_path: Path, kind: str) -> None:
    for split, rows in (("train", VALUES[:20]), ("validation", VALUES[20:30]), ("test", VALUES[30:])):
        write(tmp_path / "mine" / f"{split}.{kind}", rows)
    data = opened(tmp_path, "mine", scaling="standard")
    assert data.version == "1-standard"
    for split, rows in (("train", VALUES[:20]), ("validation", VALUES[20:30]), ("test", VALUES[30:])):
        assert torch.equal(getattr(data, split), torch.from_numpy(rows[permutation(len(rows))]).float())
    assert isinstance(data.space, Scaling)
    assert data.space.shift == pytest.approx(VALUES[:20].mean(0)) and data.space.scale == pytest.approx(
        VALUES[:20].std(0)
    )


@pytest.mark.parametrize("rule", ["standard", "minmax"])
def test_scaling_is_by_train_and_is_undone(tmp_path: Path, rule: str) -> None:
    write(tmp_path / "x.npy", VALUES)
    data = opened(tmp_path, "x.npy", scaling=rule)
    x = data.encode(data.train)
    if rule == "standard":
        torch.testing.assert_close(x.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
        torch.testing.assert_close(x.std(0, correction=0), torch.ones(3))
    else:
        assert x.min(0).values.tolist() == [-1] * 3 and x.max(0).values.tolist() == [1] * 3
    for split in (data.train, data.test):
        torch.testing.assert_close(data.decode(data.encode(split)), split, rtol=1e-6, atol=0)
    slopes = (data.encode(data.test + 1) - data.encode(data.test)).double().mean(0)
    assert data.log_volume == pytest.approx(float(slopes.log().sum()), abs=1e-5)
    assert data.keeps_density and data.version == f"1-{rule}-test0.1"


@pytest.mark.parametrize(("rule", "extent"), [("standard", 1.2), ("minmax", 1.2), ("none", 14.4)])
def test_pictures_of_the_plane_are_of_what_a_model_sees(tmp_path: Path, rule: str, extent: float) -> None:
    corners = np.array([[1.0, 12.0], [-1.0, 10.0], [1.0, 10.0], [-1.0, 12.0]] * 50)
    np.save(tmp_path / "x.npy", corners)
    data = opened(tmp_path, "x.npy", scaling=rule, test=2)
    assert data.is_plane and data.extent == pytest.approx(extent, rel=0.02)
    shown = of_samples(data, data.test)
    assert np.allclose(shown["samples"], data.encode(data.test).numpy(), rtol=1e-3)
    assert np.abs(shown["data"]).max() < extent


def test_scaling_by_statistics() -> None:
    train = torch.tensor([[0.0, -2.0], [2.0, 6.0]], dtype=torch.float64)
    assert scaled_by("standard", train) == Scaling((1.0, 2.0), (1.0, 4.0))
    assert scaled_by("minmax", train) == Scaling((1.0, 2.0), (1.0, 4.0))
    assert scaled_by("standard", torch.cat([train, train[:1]])).shift == pytest.approx((2 / 3, 2 / 3))
    assert scaled_by("none", train) is None


LABELS: dict[str, tuple[Any, list[int]]] = {
    "integers": ([7, 3, 7, 12], [1, 0, 1, 2]),
    "texts": (["dog", "cat", "dog", "owl"], [1, 0, 1, 2]),
    "texts of integers": (["10", "9", "10", "11"], [1, 0, 1, 2]),
    "texts of whole numbers": (["10.0", "9.0", "10.0", "11.0"], [1, 0, 1, 2]),
    "texts and numbers": (["1.5", "0.5", "1.5", "more"], [1, 0, 1, 2]),
}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("labels", LABELS)
def test_labels_are_counted_in_their_order(tmp_path: Path, kind: str, labels: str) -> None:
    written, expected = LABELS[labels]
    points = np.arange(8.0).reshape(4, 2)
    if kind == "parquet":
        table = pa.table({"a": points[:, 0], "kind": written, "b": points[:, 1]})
        parquet.write_table(table, tmp_path / "x.parquet")
    else:
        rows = [f"{a},{label},{b}" for (a, b), label in zip(points, written, strict=True)]
        (tmp_path / "x.csv").write_text("\n".join(["a,kind,b", *rows]))
    data = opened(tmp_path, f"x.{kind}", label="kind", test=1, scaling="none")
    order = permutation(4)
    found = torch.cat([data.train_labels, data.test_labels])
    assert found.tolist() == np.array(expected)[order].tolist() and data.classes == 3
    assert torch.equal(torch.cat([data.train, data.test]), torch.from_numpy(points[order]).float())


def test_the_data_knows_the_names_of_its_columns(tmp_path: Path) -> None:
    write(tmp_path / "x.csv", VALUES)
    assert opened(tmp_path, "x.csv").columns == ("a", "b", "c")
    assert opened(tmp_path, "x.csv", columns=["c", "a"]).columns == ("c", "a")
    np.save(tmp_path / "x.npy", np.column_stack([VALUES, CLASSES]))
    assert opened(tmp_path, "x.npy", label=3).columns == ("0", "1", "2")


def test_labels_of_an_array(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.column_stack([VALUES, CLASSES]))
    data = opened(tmp_path, "x.npy", label=3)
    assert data.train_labels.tolist() == CLASSES[permutation(40)][:36].tolist() and data.shape == (3,)
    np.save(tmp_path / "y.npy", np.column_stack([VALUES, 2 - CLASSES]))
    assert opened(tmp_path, "y.npy", label=3).checksum != data.checksum


GOOD = "a,b\n" + "1,2\n3,5\n" * 10
FAULTS: dict[str, tuple[str, str | np.ndarray, dict[str, Any], str]] = {
    "an index": ("x.csv", ",a,b\n0,1,2\n1,4,3\n", {}, r"x\.csv: column '' is the index of a frame; say which columns"),
    "no file": ("y.csv", GOOD, {"path": "x.csv"}, r"points: path: no file or folder .*x\.csv; expected a \.npy"),
    "another kind": ("x.txt", GOOD, {}, r"x\.txt: expected \.npy, \.csv, \.tsv, \.parquet"),
    "a text": ("x.csv", GOOD + "7,many\n", {}, r"x\.csv: cannot be read: .*column #1: Row #\d+: .*'many'"),
    "an empty cell": ("x.csv", GOOD + "7,\n", {}, r"x\.csv: cannot be read: .*column #1.*''"),
    "a ragged row": ("x.csv", GOOD + "7\n", {}, r"x\.csv: cannot be read: .*Expected 2 columns, got 1: 7"),
    "not a number": ("x.csv", GOOD + "7,nan\n", {}, r"x\.csv: row 21 of column 'b' is nan"),
    "infinite": ("x.npy", np.array([[1.0, 2.0], [np.inf, 3.0]]), {}, r"x\.npy: row 2 of column '0' is inf"),
    "complex": ("x.npy", np.ones((3, 2), complex), {}, r"x\.npy: complex128 \(3, 2\), expected real numbers"),
    "an image": ("x.npy", np.ones((3, 2, 2)), {}, r"x\.npy: float64 \(3, 2, 2\), expected real numbers \(N, D\)"),
    "objects": ("x.npy", np.array([{}]), {}, r"x\.npy: cannot be read: ValueError: .*allow_pickle=False"),
    "no table": ("x.parquet", GOOD, {}, r"x\.parquet: cannot be read: ArrowInvalid"),
    "nothing": ("x.csv", "", {}, r"x\.csv: no column of points"),
    "no rows": ("x.csv", "a,b\n", {}, r"x\.csv: no rows"),
    "another column": ("x.csv", GOOD, {"columns": ["c"]}, r"x\.csv: unknown column 'c'; known: a, b"),
    "another label": ("x.csv", GOOD, {"label": "c"}, r"x\.csv: unknown column 'c'; known: a, b"),
    "a column twice": ("x.csv", GOOD, {"columns": ["a", "a"]}, r"column 'a' is asked for twice"),
    "a label as a column": ("x.csv", GOOD, {"columns": ["a"], "label": "a"}, r"column 'a' is asked for twice"),
    "two of a name": ("x.csv", GOOD.replace("b", "a"), {}, r"two columns are named 'a'"),
    "only labels": ("x.csv", "a\n1\n2\n", {"label": "a"}, r"no column of points"),
    "a label of a half": ("x.npy", np.array([[1, 0.5], [2, 1]]), {"label": 1}, r"the label 0\.5 is neither"),
    "a label of halves": ("x.csv", "a,b\n" + "1,2\n3,0.5\n" * 10, {"label": "b"}, r"x\.csv: the label 0\.5 is nei"),
    "a label of no end": ("x.npy", np.array([[1, np.inf], [2, 1]]), {"label": 1}, r"the label inf is neither"),
    "a constant": ("x.csv", "a,b\n" + "1,2\n3,2\n" * 10, {}, r"column 'b' is 2 in all rows; leave it out"),
    "too coarse": ("x.npy", 1e9 + VALUES, {}, r"'0' reaches 1e\+09, where single precision has steps of 64, and"),
    "one row": ("x.npy", VALUES[:1], {}, r"dataset points: test = 0\.1: 0 of 1 samples"),
    "another scaling": ("x.csv", GOOD, {"scaling": "log"}, r"scaling = 'log': Input should be 'standard', 'minmax'"),
    "a seed below 0": ("x.csv", GOOD, {"seed": -1}, r"dataset points: seed = -1: 0 to 4294967295"),
    "no train": ("mine/test.csv", GOOD, {"path": "mine"}, r"mine: no train\.npy; expected train, test and validation"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line(tmp_path: Path, fault: str) -> None:
    name, content, options, message = FAULTS[fault]
    (tmp_path / name).parent.mkdir(exist_ok=True)
    if isinstance(content, str):
        (tmp_path / name).write_text(content)
    else:
        np.save(tmp_path / name, content)
    with pytest.raises(UsageError) as caught:
        opened(tmp_path, **{"path": name, **options})
    assert re.search(message, text := str(caught.value)) and "\n" not in text, text


def test_splits_that_do_not_fit_are_named(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(GOOD.replace("a,b", "a,k"))
    (tmp_path / "test.csv").write_text(GOOD)
    with pytest.raises(UsageError, match="columns a, b in test, a, k in train"):
        opened(tmp_path, ".")
    (tmp_path / "test.csv").write_text("a,k\n1,4\n")
    with pytest.raises(UsageError, match="train has no label 4, which test has"):
        opened(tmp_path, ".", label="k")
    (tmp_path / "test.npy").write_bytes(b"")
    with pytest.raises(UsageError, match=r"test\.csv and test\.npy are one split twice"):
        opened(tmp_path, ".")


def test_missing_values_and_other_types_of_parquet(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": [1.0, None, 3.0], "b": [1, 2, 3]}), tmp_path / "x.parquet")
    with pytest.raises(UsageError, match=r"x\.parquet: row 2 of column 'a' is missing"):
        opened(tmp_path, "x.parquet")
    parquet.write_table(pa.table({"a": [[1.0], [2.0]], "b": [1, 2]}), tmp_path / "x.parquet")
    with pytest.raises(UsageError, match=r"x\.parquet: column 'a' holds list<.*, not numbers"):
        opened(tmp_path, "x.parquet")
