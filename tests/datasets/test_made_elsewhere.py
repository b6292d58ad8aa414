"""Samples made elsewhere are read as they are, whatever holds them, or refused in one line that says why."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from bench.datasets.base import Dataset
from bench.datasets.elsewhere import opened
from bench.datasets.made import Made
from bench.errors import UsageError

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (7, 3, 4, 6), dtype=np.uint8)
GREY = RNG.integers(0, 256, (7, 1, 4, 6), dtype=np.uint8)
POINTS = RNG.normal(size=(7, 2)).astype(np.float32)


def like(x: Any, levels: int | None = 256) -> Dataset:
    """A dataset of such samples."""
    stored = torch.from_numpy(np.array(x[:3]))
    return Dataset("set", "1", stored, stored, levels=levels)


def folder(path: Path, images: Any, suffix: str = ".png") -> Path:
    path.mkdir()
    for i, pixels in enumerate(images):
        Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).save(path / f"{i}{suffix}")
    return path


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def read(path: Path, dataset: Dataset, n: int = 7) -> Any:
    return torch.cat([x for _, x in opened(path, dataset).batches(n)]).numpy()


@pytest.fixture(autouse=True)
def batches_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Made, "BATCH", 3)


LAYOUTS: dict[str, Callable[[Any, Path], Path]] = {
    "folder": lambda x, path: folder(path / "png", x),
    "NCHW": lambda x, path: saved(path / "a.npz", samples=x),
    "NHWC of ADM": lambda x, path: saved(path / "a.npz", arr_0=x.transpose(0, 2, 3, 1), arr_1=np.arange(7)),
    "array of its own": lambda x, path: saved(path / "a.npz", generated=x),
}


@pytest.mark.parametrize("images", [COLOUR, GREY], ids=["colour", "grey"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_come_as_they_are(tmp_path: Path, layout: str, images: Any) -> None:
    made = opened(LAYOUTS[layout](images, tmp_path), like(images))
    found = [(start, x.numpy()) for start, x in made.batches(5)]
    assert [start for start, _ in found] == [0, 3] and made.count == 7
    assert np.array_equal(np.concatenate([x for _, x in found]), images[:5])


def test_other_files_hold_the_same(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "packed.npz", samples=COLOUR)
    np.save(tmp_path / "nhwc.npy", COLOUR.transpose(0, 2, 3, 1))
    np.save(tmp_path / "nhw.npy", GREY[:, 0])
    assert np.array_equal(read(tmp_path / "packed.npz", like(COLOUR)), COLOUR)
    assert np.array_equal(read(tmp_path / "nhwc.npy", like(COLOUR)), COLOUR)
    assert np.array_equal(read(tmp_path / "nhw.npy", like(GREY)), GREY)


def test_points_come_in_single_precision(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", POINTS.astype(np.float64))
    np.savetxt(tmp_path / "p.csv", POINTS, "%.17g", delimiter=",", header="x,y", comments="")
    (tmp_path / "P.CSV").write_bytes((tmp_path / "p.csv").read_bytes())
    saved(tmp_path / "p.npz", samples=POINTS)
    for name in ("p.npy", "p.csv", "P.CSV", "p.npz"):
        found = read(tmp_path / name, like(POINTS, None))
        assert found.dtype == np.float32 and np.array_equal(found, POINTS)


def table(path: Path, header: str) -> Path:
    """POINTS in as many columns as the header has, the second before the first, and a text beside them."""
    lines = [",".join([f"{y!r}", f"{x!r}", "cat"][: header.count(",") + 1]) for x, y in POINTS.tolist()]
    path.write_text("\n".join([header, *lines]))
    return path


def test_points_are_found_by_the_names_of_their_columns(tmp_path: Path) -> None:
    named = replace(like(POINTS, None), columns=("x", "y"))
    for header in ("y,x", "y,x,kind"):
        made = opened(table(tmp_path / "p.csv", header), named)
        assert np.array_equal(torch.cat([x for _, x in made.batches(7)]).numpy(), POINTS)
        assert made.notes == ([f"columns of {made.path} that count for nothing: kind"] if "kind" in header else [])
    counted = replace(named, columns=("1", "0"))
    for header, dataset in (("y,x", counted), ("0,1", named), ("0,1", counted), ("y,x", like(POINTS, None))):
        assert np.array_equal(read(table(tmp_path / "p.csv", header), dataset), POINTS[:, ::-1])
    for header in ("y,z", "y,z,kind"):
        with pytest.raises(
            UsageError, match=rf"p\.csv: no column 'x', which the data has; its columns are {header[:1]}, z"
        ):
            opened(table(tmp_path / "p.csv", header), named)
    parquet.write_table(pa.table({"y": POINTS[:, 1], "x": POINTS[:, 0]}), tmp_path / "p.parquet")
    assert np.array_equal(read(tmp_path / "p.parquet", named), POINTS)


def test_a_folder_is_in_order_of_its_names_and_says_what_does_not_count(tmp_path: Path) -> None:
    path = folder(tmp_path / "png", COLOUR)
    (path / "0.png").rename(path / "9.png")
    (path / "notes.txt").touch()
    (path / ".hidden.png").touch()
    Image.fromarray(COLOUR[0].transpose(1, 2, 0)).save(path / "A.JPG")
    made = opened(path, like(COLOUR))
    assert np.array_equal(next(made.blocks(3))[:, 0, 0, 0], COLOUR[1:4, 0, 0, 0])
    assert made.count == 8 and made.files == 8
    assert made.notes[0].startswith("1 of 9 entries") and "1 of 8 files are lossy" in made.notes[1]


def test_the_checksum_is_of_what_is_scored(tmp_path: Path) -> None:
    path = folder(tmp_path / "png", COLOUR)
    before = opened(path, like(COLOUR)).sha256(5)
    (path / "6.png").unlink()
    assert opened(path, like(COLOUR)).sha256(5) == before
    (path / "0.png").rename(path / "5.png")
    assert opened(path, like(COLOUR)).sha256(5) != before


def test_copies_are_counted(tmp_path: Path) -> None:
    made = opened(saved(tmp_path / "a.npz", samples=COLOUR[[0, 1, 2, 0, 1, 3, 3]]), like(COLOUR))
    assert len([*made.batches(7)]) == 3 and made.copies == 3


SEVENTEEN = like((GREY % 17), 17)
BAD: dict[str, tuple[Callable[[Path], Path], Dataset, str]] = {
    "nothing": (lambda p: p / "none.npz", like(COLOUR), "none.npz: no such folder or file"),
    "another file": (lambda p: (p / "a.txt", (p / "a.txt").touch())[0], like(COLOUR), "expected a folder of images or"),
    "no archive": (lambda p: (p / "a.npz", (p / "a.npz").write_bytes(b"PK"))[0], like(COLOUR), "not an array of numb"),
    "no array": (lambda p: (p / "a.npy", (p / "a.npy").write_bytes(b"12"))[0], like(COLOUR), "not an array of numbers"),
    "objects": (lambda p: saved(p / "a.npz", samples=np.array([None])), like(COLOUR), "an array of objects"),
    "two arrays": (lambda p: saved(p / "a.npz", x=COLOUR, y=COLOUR), like(COLOUR), "it has x, y"),
    "order of Fortran": (lambda p: saved(p / "a.npz", x=np.asfortranarray(COLOUR)), like(COLOUR), "ascontiguousarray"),
    "no samples": (lambda p: saved(p / "a.npz", x=COLOUR[:0]), like(COLOUR), "no samples in it"),
    "size": (lambda p: saved(p / "a.npz", x=COLOUR[..., :5]), like(COLOUR),
             "shape (7, 3, 4, 5); set needs (N, 4, 6, 3) or (N, 3, 4, 6)"),
    "size in a folder": (lambda p: folder(p / "x", COLOUR[..., :5]), like(COLOUR), "5 x 4 pixels; set has 6 x 4"),
    "grey": (lambda p: folder(p / "x", GREY), like(COLOUR), "grey (mode L); set has 3 channels"),
    "colour": (lambda p: folder(p / "x", COLOUR), like(GREY), "in colour; set has 1 channel"),
    "grey array": (lambda p: saved(p / "a.npz", x=GREY), like(COLOUR), "set needs (N, 4, 6, 3)"),
    "channels": (lambda p: saved(p / "a.npz", x=COLOUR[..., :3, :3]), like(COLOUR[..., :3, :3]),
                 "channels may be first or last"),
    "folder of points": (lambda p: folder(p / "x", COLOUR), like(POINTS, None), "a folder; set has points"),
    "no images": (lambda p: (p / "x" / "y").mkdir(parents=True) or p / "x", like(COLOUR), "or the folder below"),
    "broken image": (lambda p: (folder(p / "x", COLOUR) / "0.png").write_bytes(b"PNG") and p / "x", like(COLOUR),
                     "0.png: not an image"),
    "from 0 to 1": (lambda p: saved(p / "a.npz", x=(COLOUR / 256).astype("f4")), like(COLOUR),
                    "values of float32; expected uint8 pixels, and these are 0"),
    "from -1 to 1": (lambda p: saved(p / "a.npz", x=COLOUR / 128 - 1), like(COLOUR), "((x + 1) * 128).clip(0, 255)"),
    "unclipped": (lambda p: saved(p / "a.npz", x=COLOUR / 54 - 2.34), like(COLOUR), "to 2.4: ((x + 1) * 128).clip(0"),
    "beyond 1": (lambda p: saved(p / "a.npz", x=COLOUR / 150), like(COLOUR), "to 1.7: (x * 256).clip(0, 255)"),
    "pixels with a fraction": (lambda p: saved(p / "a.npz", x=COLOUR - 0.5), like(COLOUR), "x.round().clip(0, 255)"),
    "rounded first": (lambda p: saved(p / "a.npz", x=COLOUR % 3), like(COLOUR), "is 2; expected pixels of 0 to 255; "
                      "were they rounded before"),
    "whole numbers": (lambda p: saved(p / "a.npz", x=COLOUR.astype(int)), like(COLOUR), "x.round().clip(0, 255)"),
    "binary": (lambda p: saved(p / "a.npz", x=COLOUR // 128), like(COLOUR), "images is 1; expected pixels of 0 to 255; "
               "multiply by 255"),
    "levels": (lambda p: saved(p / "a.npz", x=GREY % 17), SEVENTEEN, "multiply by 15.9375"),
    "alike": (lambda p: saved(p / "a.npz", x=COLOUR[[0] * 7]), like(COLOUR), "the first 3 samples are all alike"),
    "dimensions": (lambda p: saved(p / "a.npz", x=POINTS), like(POINTS[:, :1], None), "(7, 2); set needs (N, 1)"),
    "words": (lambda p: saved(p / "a.npz", x=POINTS.astype(str)), like(POINTS, None), "expected numbers"),
    "not finite": (lambda p: saved(p / "a.npz", x=np.where(np.arange(7)[:, None] == 5, np.nan, POINTS)),
                   like(POINTS, None), "sample 5 is not finite ([nan nan])"),
    "beyond single precision": (lambda p: saved(p / "a.npz", x=POINTS.astype(float) * 1e39), like(POINTS, None),
                                "sample 0 is not finite"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_scored_is_one_line(tmp_path: Path, what: str) -> None:
    make, dataset, words = BAD[what]
    path = make(tmp_path)
    with pytest.raises(UsageError, match=re.escape(words)) as refused:
        read(path, dataset)
    assert "\n" not in str(refused.value) and str(path) in str(refused.value)


def test_an_archive_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npz", samples=RNG.integers(0, 256, (300, 3, 4, 6), dtype=np.uint8))
    data = bytearray(path.read_bytes())
    data[9000:9010] = bytes(10)
    path.write_bytes(data)
    with pytest.raises(UsageError, match="not whole"):
        read(path, like(COLOUR), 300)
