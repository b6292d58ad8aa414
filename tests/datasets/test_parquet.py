"""Images in Parquet files as the hub stores them, written here in small and read back to the pixel."""

import io
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from bench.config.components import build_dataset
from bench.config.settings import Component
from bench.datasets import parquet as module
from bench.datasets.base import Dataset
from bench.datasets.order import permutation
from bench.errors import UsageError

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 4, 4, 3), dtype=np.uint8)
LABELS = [i * 7 % 5 for i in range(30)]


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write(path: Path, rows: range, columns: dict[str, Any] | None = None, declared: str = "", **written: Any) -> None:
    """Rows of PIXELS, as `image`, and of LABELS, as `label`; row groups of 4."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": png(PIXELS[i]), "path": f"{i}.png"} for i in rows]
    table = pa.table(columns or {"image": images, "label": [LABELS[i] for i in rows]})
    if declared:
        features = {"image": {"_type": "Image"}, declared: {"names": ["a", "b"], "_type": "ClassLabel"}}
        about = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
        table = table.replace_schema_metadata(about)
    parquet.write_table(table, path, row_group_size=4)


def opened(tmp_path: Path, path: str = "mine", **options: Any) -> Dataset:
    return build_dataset(Component(name="parquet", options={"path": path, "size": 4, **options}), tmp_path)


def check(data: Dataset, split: str, rows: Any) -> None:
    """A split against the rows that it holds, in their order, with labels."""
    found, labels = getattr(data, split), getattr(data, f"{split}_labels")
    assert np.array_equal(found.permute(0, 2, 3, 1).numpy(), PIXELS[rows])
    assert labels.tolist() == [LABELS[i] for i in rows]


@pytest.mark.parametrize("place", ["", "data/"])
def test_shards_of_splits(tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name, rows in {
        "train-00000-of-00002": range(10),
        "train-00001-of-00002": range(10, 20),
        "validation-00000-of-00001": range(20, 24),
        "test-00000-of-00001-0123abc": range(24, 30),
    }.items():
        write(tmp_path / "mine" / f"{place}{name}.parquet", rows)
    (tmp_path / "mine" / "README.md").write_text("")
    data = opened(tmp_path)
    check(data, "train", permutation(20))
    check(data, "validation", 20 + permutation(4))
    check(data, "test", 24 + permutation(6))
    assert (data.name, data.version, data.extractor) == ("parquet", "1-3x4-centre", "parquet_cnn")
    assert "packing 2 train and 1 test and 1 validation files" in capsys.readouterr().err
    assert opened(tmp_path).checksum == data.checksum and not capsys.readouterr().err


@pytest.mark.parametrize("names", [["x.parquet"], ["0000.parquet", "0001.parquet"], ["train.parquet"]])
def test_a_split_is_cut_off_files_that_have_none(tmp_path: Path, names: list[str]) -> None:
    for i, name in enumerate(names):
        write(tmp_path / "mine" / name, range(30)[i * 15 :] if i or len(names) == 1 else range(15))
    data = opened(tmp_path, test=10)
    order = permutation(30)
    check(data, "train", order[:20])
    check(data, "test", order[20:])
    assert len(list((tmp_path / "mine").iterdir())) == len(names)


def test_a_folder_a_split_and_a_file(tmp_path: Path) -> None:
    write(tmp_path / "mine" / "train" / "0000.parquet", range(20))
    write(tmp_path / "mine" / "test" / "0000.parquet", range(20, 30))
    check(opened(tmp_path), "test", 20 + permutation(10))
    check(opened(tmp_path, "mine/train/0000.parquet", test=4), "test", permutation(20)[16:])


def test_columns_by_name_by_type_and_as_they_are_declared(tmp_path: Path) -> None:
    bare = [png(image) for image in PIXELS]
    shown = {"img": bare, "mask": bare, "fine": LABELS, "coarse": [0] * 30}
    write(tmp_path / "mine" / "x.parquet", range(0), shown, declared="fine")
    check(opened(tmp_path, image="img", test=3), "train", permutation(30)[:27])
    fine, coarse, none = (opened(tmp_path, image="img", label=label) for label in ("fine", "coarse", ""))
    assert (fine.classes, coarse.classes, none.train_labels) == (5, 1, None)
    assert torch.equal(fine.train, coarse.train) and torch.equal(fine.train, none.train)
    assert len({fine.checksum, coarse.checksum, none.checksum}) == 3  # a classifier of one is none of another
    with pytest.raises(UsageError, match=r"columns img and mask hold images; choose one, as image = 'img'"):
        opened(tmp_path)


def test_texts_are_counted_in_their_order(tmp_path: Path) -> None:
    texts = ["owl", "cat", "dog"] * 10
    write(tmp_path / "train.parquet", range(0), {"i": [png(p) for p in PIXELS], "label": texts})
    write(tmp_path / "test.parquet", range(0), {"i": [png(p) for p in PIXELS[:2]], "label": texts[:2]})
    data = opened(tmp_path, ".")
    assert data.train_labels.tolist() == [[2, 0, 1][i % 3] for i in permutation(30)]
    assert data.test_labels.tolist() == [[2, 0, 1][i] for i in permutation(2)]


def test_a_row_group_is_read_once_for_all_of_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "mine" / "x.parquet", range(30))
    monkeypatch.setattr(module, "PART", 2 * 48)
    sizes: list[int] = []
    read_images = module.read_images
    monkeypatch.setattr(
        module, "read_images", lambda files, *form: sizes.append(len(files)) or read_images(files, *form)
    )
    module._row_group.cache_clear()
    data = opened(tmp_path, test=10)
    assert sizes == [2] * 15 and module._row_group.cache_info().misses == 8  # 7 groups of 4 rows, and one of 2
    check(data, "train", permutation(30)[:20])


def test_a_pack_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "mine" / "x.parquet", range(30))
    reads: list[str] = []
    read_images = module.read_images

    def read(files: Any, *form: Any) -> Any:
        reads.append(files[0][0].name)
        if len(reads) == 4:
            raise KeyboardInterrupt
        return read_images(files, *form)

    monkeypatch.setattr(module, "read_images", read)
    with pytest.raises(KeyboardInterrupt):
        opened(tmp_path, test=10)
    data = opened(tmp_path, test=10)
    assert reads == [f"x.parquet, row {row}" for row in (1, 5, 9, 13, 13, 17, 21, 25, 29)]
    assert torch.equal(torch.cat([data.train_labels, data.test_labels]), torch.tensor(LABELS)[permutation(30)])


GOOD = {"image": [{"bytes": png(PIXELS[0]), "path": None}] * 5, "label": [0] * 5}
LOST = [{"bytes": None, "path": "a.png"}]
FAULTS: dict[str, tuple[dict[str, dict[str, Any]], dict[str, Any], str]] = {
    "nothing": ({}, {"path": "y"}, r"parquet: path = 'y': nothing at .*/y; expected there train-\*\.parquet"),
    "no files": ({"a/b.parquet": GOOD}, {}, r"mine: no \.parquet files; expected train-\*\.parquet"),
    "two places": ({"x.parquet": GOOD, "data/x.parquet": GOOD}, {}, r"\.parquet files in it and in data/; keep one"),
    "a name of no split": ({"train.parquet": GOOD, "x.parquet": GOOD}, {}, r"x\.parquet: the name is of no split"),
    "no train": ({"test.parquet": GOOD}, {}, r"mine: no \.parquet files of train"),
    "a missing shard": ({"train-00001-of-00002.parquet": GOOD}, {}, r"shard 0 of 2 of train is missing; 1 are there"),
    "two editions": ({"train-00000-of-00001.parquet": GOOD, "train-00000-of-00002.parquet": GOOD}, {},
                     r"mine: train in 1 shards and train in 2 are two editions; keep one"),
    "no images": ({"x.parquet": {"a": [1]}}, {}, r"no column of images; images are binary, or a struct .*; has a"),
    "a column of numbers": ({"x.parquet": GOOD}, {"image": "label"}, r"column 'label' holds int64; images are binary"),
    "another column": ({"x.parquet": GOOD}, {"image": "img"}, r"x\.parquet: unknown column 'img'; known: image, label"),
    "another label": ({"x.parquet": GOOD}, {"label": "kind"}, r"x\.parquet: unknown column 'kind'; known: image, lab"),
    "labels of halves": ({"x.parquet": GOOD | {"label": [0.5] * 5}}, {}, r"column 'label' holds double, not integers"),
    "no label": ({"x.parquet": GOOD | {"label": [0, 0, -1, 0, 0]}}, {}, r"x\.parquet, row 3: label -1: 0 or more; la"),
    "a label of an id": ({"x.parquet": GOOD | {"label": [0, 1, 1_000_000, 0, 0]}}, {},
                         r"x\.parquet, row 3: label 1000000: below 1000 with 5 images; number classes from 0, or"),
    "a label that train lacks": ({f"{s}.parquet": GOOD | {"label": [s] * 5} for s in ("train", "test")}, {},
                                 r"test\.parquet, row 1: train has no label 'test'"),
    "labels of two types": ({"train.parquet": GOOD | {"label": ["a"] * 5}, "test.parquet": GOOD}, {},
                            r"test\.parquet: its labels are of another type than those of train\.parquet"),
    "no bytes": ({"x.parquet": GOOD | {"image": GOOD["image"][:4] + LOST}}, {},
                 r"x\.parquet, row 5: column 'image' has no bytes, only the path 'a\.png'"),
    "no image": ({"x.parquet": GOOD | {"image": [b"none"] * 5}}, {}, r"x\.parquet, row 1: not an image, or not whole"),
    "another size": ({"x.parquet": GOOD}, {"size": 8, "crop": "exact"}, r"x\.parquet, row 1: 4 x 4 pixels, expected 8"),
    "no rows": ({"x.parquet": {"image": pa.array([], pa.binary())}}, {}, r"x\.parquet: no rows"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line(tmp_path: Path, fault: str) -> None:
    files, options, message = FAULTS[fault]
    for name, columns in files.items():
        write(tmp_path / "mine" / name, range(0), columns)
    with pytest.raises(UsageError) as caught:
        opened(tmp_path, **{"test": 1, **options})
    assert re.search(message, text := str(caught.value)) and "\n" not in text, text


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UsageError, match=r"x\.parquet: not a whole Parquet file: ArrowInvalid"):
        opened(tmp_path, ".")
