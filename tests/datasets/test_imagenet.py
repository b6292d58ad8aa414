"""ImageNet in each form it is passed around in, written here in small and read back to the pixel."""

import dataclasses
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench.config.registry import datasets
from bench.datasets import imagefolder
from bench.datasets.base import Dataset
from bench.datasets.imagefolder import read_image
from bench.datasets.imagenet import read_batch
from bench.datasets.order import permutation
from bench.errors import UsageError
from bench.records.seal import read_json

GENERATOR = np.random.default_rng(0)
BATCHES = [*(f"train_data_batch_{i}.npz" for i in range(1, 11)), "val_data.npz"]
Batch = dict[str, Any]


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of parts are packed here, and no machine loses its power meanwhile."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def batch(n: int, size: int, **changes: Any) -> Batch:
    data = GENERATOR.integers(0, 256, (n, 3 * size * size), dtype=np.uint8)
    return {"data": data, "labels": GENERATOR.integers(1, 1001, n).tolist(), "mean": data.mean(0), **changes}


def write_batches(folder: Path, size: int) -> list[Batch]:
    folder.mkdir(parents=True, exist_ok=True)
    batches = [batch(2 + i % 3, size) for i in range(len(BATCHES))]
    for name, contents in zip(BATCHES, batches, strict=True):
        np.savez(folder / name, **contents)
    return batches


def ordered(values: Any) -> Any:
    """A split in the fixed order."""
    return np.asarray(values)[permutation(len(values))]


def refusal(name: str, data_dir: Path) -> str:
    with pytest.raises(UsageError) as caught:
        datasets[name](data_dir)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def check_stamp(dataset: Dataset) -> None:
    assert dataset.stamp and dataset.checksum == dataclasses.replace(dataset, stamp=None).fix().checksum


@pytest.mark.parametrize("size", [32, 64])
def test_batches(tmp_path, size):
    *train, test = write_batches(tmp_path / f"imagenet{size}", size)
    dataset = datasets[f"imagenet{size}"](tmp_path)
    assert (dataset.name, dataset.version, dataset.levels) == (f"imagenet{size}", "chrabaszcz2017", 256)
    assert dataset.shape == (3, size, size) and dataset.extractor == "inception"
    rows = ordered(np.concatenate([contents["data"] for contents in train]))
    assert len(dataset.train) == len(rows) and len(dataset.test) == len(test["data"])
    for i, c, y, x in ((0, 0, 0, 1), (7, 1, 2, 0), (len(rows) - 1, 2, size - 1, 5)):
        assert int(dataset.train[i, c, y, x]) == rows[i, c * size * size + y * size + x]
    assert np.array_equal(dataset.train.flatten(1).numpy(), rows)
    assert np.array_equal(dataset.test.flatten(1).numpy(), ordered(test["data"]))
    train_labels = [label - 1 for contents in train for label in contents["labels"]]
    assert dataset.train_labels.tolist() == ordered(train_labels).tolist()
    assert dataset.test_labels.tolist() == ordered([label - 1 for label in test["labels"]]).tolist()
    check_stamp(dataset)


def test_batches_in_the_folders_of_their_archives(tmp_path):
    folder = tmp_path / "imagenet64"
    batches = write_batches(folder, 64)
    for name in BATCHES:
        part = "val" if name == "val_data.npz" else f"train_part{1 + (name > 'train_data_batch_5')}"
        (folder / f"Imagenet64_{part}").mkdir(exist_ok=True)
        (folder / name).rename(folder / f"Imagenet64_{part}" / name)
    dataset = datasets["imagenet64"](tmp_path)
    rows = ordered(np.concatenate([b["data"] for b in batches[:-1]]))
    assert np.array_equal(dataset.train.flatten(1).numpy(), rows)


def test_packed_once_then_used_alone(tmp_path):
    folder = tmp_path / "imagenet32"
    write_batches(folder, 32)
    first = datasets["imagenet32"](tmp_path)
    time = (folder / BATCHES[2]).stat().st_mtime_ns
    os.utime(folder / BATCHES[2], (1, 1))
    assert re.search(
        r"imagenet32: train_data_batch_3\.npz is 1 file .*, and was 1 file", refusal("imagenet32", tmp_path)
    )
    os.utime(folder / BATCHES[2], ns=(time, time))
    assert torch.equal(datasets["imagenet32"](tmp_path).train, first.train)
    (folder / "val_data.npz").write_bytes(b"longer" * 10000)
    assert "val_data.npz is 1 file of 60000 bytes" in refusal("imagenet32", tmp_path)
    for name in BATCHES:
        (folder / name).unlink()
    again = datasets["imagenet32"](tmp_path)
    assert torch.equal(again.test, first.test) and again.checksum == first.checksum


def pngs(folder: Path, n: int, size: int, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Images numbered against the order in which they are written."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = GENERATOR.integers(0, 256, (n, *(shape or (size, size, 3))), dtype=np.uint8)
    for i in reversed(range(n)):
        Image.fromarray(pixels[i]).save(folder / f"{i:05}.png")
    return pixels


@pytest.mark.parametrize("inside", ["", "unpacked"])
@pytest.mark.parametrize("size", [32, 64])
def test_the_older_version(tmp_path, monkeypatch, size, inside):
    monkeypatch.setattr(imagefolder, "PART", 3 * 3 * size * size)
    folder = tmp_path / f"imagenet{size}" / inside
    train = pngs(folder / f"train_{size}x{size}", 8, size)
    test = pngs(folder / f"valid_{size}x{size}", 3, size)
    (folder / f"train_{size}x{size}" / "README.txt").write_text("not an image")
    (folder / f"train_{size}x{size}" / "._00001.png").write_text("not an image")
    dataset = datasets[f"imagenet{size}"](tmp_path)
    assert (dataset.version, dataset.extractor, dataset.levels) == ("vandenoord2016", "inception", 256)
    assert np.array_equal(dataset.train.numpy(), ordered(train.transpose(0, 3, 1, 2)))
    assert np.array_equal(dataset.test.numpy(), ordered(test.transpose(0, 3, 1, 2)))
    assert dataset.train_labels is None and dataset.test_labels is None
    check_stamp(dataset)


def photograph(height: int, width: int) -> np.ndarray:
    """Smooth colours, so that JPEG keeps them and another kernel or another square shows."""
    small = GENERATOR.integers(0, 256, (1 + height // 16, 1 + width // 16, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def image_folder(root: Path) -> dict[str, list[Path]]:
    """Two classes of photographs: wide, high, grey, CMYK, small, in several suffixes; paths in order of split."""
    images = {
        "train/n02/b.JPEG": Image.fromarray(photograph(150, 201)),
        "train/n02/a.jpg": Image.fromarray(photograph(300, 140)).convert("L"),
        "train/n01/z.JPEG": Image.fromarray(photograph(140, 180)).convert("CMYK"),
        "train/n01/q.jpeg": Image.fromarray(photograph(40, 60)),
        "val/n01/b.png": Image.fromarray(photograph(256, 256)),
        "val/n02/a.JPEG": Image.fromarray(photograph(500, 375)),
    }
    for name, image in images.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(root / name)
    (root / "train/n01/notes.txt").write_text("not an image")
    (root / "train/.cache").mkdir()
    names = {
        "train": ["train/n01/q.jpeg", "train/n01/z.JPEG", "train/n02/a.jpg", "train/n02/b.JPEG"],
        "test": ["val/n01/b.png", "val/n02/a.JPEG"],
    }
    return {split: [root / name for name in files] for split, files in names.items()}


@pytest.mark.parametrize("part", [1, 1 << 26])
@pytest.mark.parametrize("size", [128, 256])
def test_photographs(tmp_path, monkeypatch, size, part):
    monkeypatch.setattr(imagefolder, "PART", part)
    paths = image_folder(tmp_path / "imagenet")
    dataset = datasets[f"imagenet{size}"](tmp_path)
    assert (dataset.version, dataset.shape) == ("ilsvrc2012-centre-bicubic", (3, size, size))
    assert dataset.train_labels.tolist() == ordered([0, 0, 1, 1]).tolist()
    assert dataset.test_labels.tolist() == ordered([0, 1]).tolist()
    for images, files in ((dataset.train, paths["train"]), (dataset.test, paths["test"])):
        for image, place in zip(images, permutation(len(files)), strict=True):
            path = files[place]
            with Image.open(path) as file:
                width, height = file.size
                side = min(file.size)
                box = ((width - side) // 2, (height - side) // 2)
                square = (*box, box[0] + side, box[1] + side)
                resized = file.convert("RGB").resize((size, size), Image.Resampling.BICUBIC, box=square)
            assert np.array_equal(image.permute(1, 2, 0).numpy(), np.asarray(resized))
    grey = dataset.train[permutation(4).tolist().index(2)]
    assert torch.equal(grey[0], grey[1]) and torch.equal(grey[0], grey[2]) and grey.float().std() > 10
    assert (tmp_path / f"imagenet{size}" / "packed" / "stamp.json").is_file()
    check_stamp(dataset)


@pytest.mark.parametrize(("height", "width"), [(300, 300), (301, 400), (420, 300), (50, 91)])
def test_the_square_and_its_resizing_are_torchs(tmp_path, height, width):
    """torch's antialiased bicubic of the centre square; off the square's edges, where Pillow sees beyond."""
    pixels = photograph(height, width)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = torch.from_numpy(pixels[top : top + side, left : left + side]).permute(2, 0, 1)[None].float()
    expected = torch.nn.functional.interpolate(square, (128, 128), mode="bicubic", antialias=True).clamp(0, 255)
    found = torch.from_numpy(read_image(tmp_path / "image.png", 128, crop=True).copy()).float()
    inner = slice(6, -6)
    assert float((found - expected[0])[:, inner, inner].abs().max()) <= 1.5  # each rounds twice
    shifted = found.roll(1, 2)  # the tolerance would see a square that is off by one pixel of the result
    assert float((shifted - expected[0])[:, inner, inner].abs().max()) > 5


def test_broken_photographs_are_named_and_mending_goes_on_from_there(tmp_path, monkeypatch):
    monkeypatch.setattr(imagefolder, "PART", 1)
    paths = image_folder(tmp_path / "imagenet")
    broken = paths["train"][2]
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    assert f"{broken}: not an image, or not whole: " in refusal("imagenet128", tmp_path)
    read = []
    monkeypatch.setattr(imagefolder, "read_image", lambda *args: read.append(args[0]) or read_image(*args))
    broken.write_bytes(whole)
    dataset = datasets["imagenet128"](tmp_path)
    assert read == [*paths["train"][2:], *paths["test"]]
    assert dataset.train_labels.tolist() == ordered([0, 0, 1, 1]).tolist()
    check_stamp(dataset)


def spoil(name: str, **changes: Any) -> Callable[[Path], None]:
    return lambda folder: np.savez(folder / name, **batch(3, 32) | changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / BATCHES[6]).unlink(), r"imagenet32: train_data_batch_7\.npz missing; 10 of the 11 are"),
        (lambda f: (f / BATCHES[10]).unlink(), r"imagenet32: val_data\.npz missing; 10 of the 11 are there"),
        (lambda f: np.savez(f / "val_data.npz", labels=[1]), r"val_data\.npz: not a whole \.npz .*KeyError.*data"),
        (lambda f: np.savez(f / "val_data.npz", data=[1]), r"val_data\.npz: not a whole \.npz .*KeyError.*labels"),
        (
            lambda f: np.savez(f / "val_data.npz", **batch(3, 64)),
            r"val_data.*\(3, 12288\), expected uint8 \(N, 3072\)",
        ),
        (spoil("val_data", data=np.zeros((3, 3072))), r"val_data.*: 'data' is float64 \(3, 3072\), expected uint8"),
        (spoil("val_data", data=np.zeros((0, 3072), np.uint8), labels=[]), r"val_data.*: 'data' is uint8 \(0, 3072\)"),
        (spoil("val_data", labels=[1, 2]), r"val_data.*: 'labels' is int64 \(2,\), expected 3 integers, one a row"),
        (spoil("val_data", labels=[1.0, 2.5, 3.0]), r"val_data.*: 'labels' is float64 \(3,\), expected 3 integers"),
        (spoil("val_data", labels=[0, 1, 2]), r"val_data.*: 'labels' from 0 to 2, expected within 1\.\.1000"),
        (spoil("val_data", labels=[1, 2, 1001]), r"val_data.*: 'labels' from 1 to 1001, expected within 1\.\.1000"),
        (lambda f: pngs(f / "valid_32x32", 1, 32), r"batch_1.npz .*2017\) and valid_32x32 .*2016\) are two versions"),
    ],
)
def test_bad_batches_are_named(tmp_path, change, message):
    write_batches(tmp_path / "imagenet32", 32)
    change(tmp_path / "imagenet32")
    with pytest.raises(UsageError, match=message) as caught:
        datasets["imagenet32"](tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        (lambda data: data[: len(data) // 2], "not a zip file"),
        (lambda data: b"", "No data left|EOF"),
        (lambda data: b"none", "[Cc]annot be loaded|pickle"),
        (lambda data: data[:3000] + bytes(2000) + data[5000:], "CRC"),
    ],
)
def test_bad_archives_are_named(tmp_path, spoilt, message):
    path = tmp_path / "val_data.npz"
    np.savez(path, **batch(4, 32))
    path.write_bytes(spoilt(path.read_bytes()))
    with pytest.raises(UsageError, match=rf"val_data\.npz: not a whole .npz .*({message})"):
        read_batch(path, 32)


class Code:
    """Pickled, it is a call."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def test_a_pickle_is_not_read_whatever_it_is_called(tmp_path):
    target, path = tmp_path / "executed", tmp_path / "val_data.npz"
    np.savez(path, data=np.zeros((1, 3072), np.uint8), labels=np.array([Code(target.touch)]))
    with pytest.raises(UsageError, match=r"val_data\.npz: .*allow_pickle"):
        read_batch(path, 32)
    path.write_bytes(pickle.dumps(batch(2, 32, extra=Code(target.touch))))
    with pytest.raises(UsageError, match=r"val_data\.npz: .*allow_pickle"):
        read_batch(path, 32)
    assert not target.exists()


def test_pickled_batches_alone_are_no_images_and_the_way_to_read_them_is_said(tmp_path, monkeypatch):
    folder = tmp_path / "imagenet32"
    folder.mkdir()
    written = batch(2, 32)
    for name in BATCHES:
        (folder / name.removesuffix(".npz")).write_bytes(pickle.dumps(written))
    assert "expected there train_data_batch_1.npz to " in (text := refusal("imagenet32", tmp_path))
    way = "np.savez(f'{name}.npz', **np.load(name, allow_pickle=True))"
    assert f"pickles are not read: of one that you trust {way} makes a .npz" in text
    monkeypatch.chdir(folder)
    eval(way, {"np": np, "name": "val_data"})
    data, labels = read_batch(folder / "val_data.npz", 32)
    assert np.array_equal(data.reshape(2, -1), written["data"]) and labels.tolist() == [
        k - 1 for k in written["labels"]
    ]


def test_a_batch_that_is_there_twice_is_named(tmp_path):
    write_batches(tmp_path / "imagenet32", 32)
    (tmp_path / "imagenet32" / "more").mkdir()
    np.savez(tmp_path / "imagenet32" / "more" / "val_data", **batch(3, 32))
    assert re.search(
        r"val_data\.npz and .*more/val_data\.npz are one part of the data twice", refusal("imagenet32", tmp_path)
    )


def test_bad_images_of_the_older_version_are_named(tmp_path):
    folder = tmp_path / "imagenet32"
    pngs(folder / "train_32x32", 3, 32)
    assert "imagenet32: valid_32x32 missing; 1 of the 2 are there" in refusal("imagenet32", tmp_path)
    (folder / "valid_32x32").mkdir()
    assert "valid_32x32: no images in it; expected .bmp, .gif, .jpeg, .jpg, .png, " in refusal("imagenet32", tmp_path)
    pngs(folder / "valid_32x32", 2, 32, (64, 32, 3))
    assert "valid_32x32/00000.png: 32 x 64 pixels, expected 32 x 32" in refusal("imagenet32", tmp_path)
    pngs(folder / "valid_32x32", 2, 32)
    (folder / "valid_32x32" / "00001.png").write_bytes(b"")
    assert "valid_32x32/00001.png: not an image, or not whole" in refusal("imagenet32", tmp_path)
    pngs(folder / "valid_32x32", 2, 32)
    os.truncate(folder / "valid_32x32" / "00001.png", 1000)
    assert "valid_32x32/00001.png: not an image, or not whole" in refusal("imagenet32", tmp_path)
    pngs(folder / "valid_32x32", 2, 32)
    assert len(datasets["imagenet32"](tmp_path).test) == 2


@pytest.mark.parametrize("name", ["imagenet32", "imagenet64", "imagenet128", "imagenet256"])
@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: folder.mkdir()])
def test_nothing_there(tmp_path, name, make):
    size = int(name.removeprefix("imagenet"))
    folder = tmp_path / ("imagenet" if size > 64 else name)
    make(folder)
    message = refusal(name, tmp_path)
    assert message.startswith(f"{name}: no images in {folder}; expected there ") and "image-net.org" in message
    formats = ["train/CLASS/*.JPEG"] if size > 64 else ["train_data_batch_1.npz to ", f"train_{size}x{size}/*.png"]
    assert all(text in message for text in formats)
    assert not (tmp_path / name / "packed").exists()


def test_photographs_that_are_not_in_folders_of_classes(tmp_path):
    root = tmp_path / "imagenet"
    image_folder(root)
    (root / "val/n02/a.JPEG").rename(root / "val/a.JPEG")
    assert "val/n02: no images in it" in refusal("imagenet128", tmp_path)
    (root / "val/n02").rmdir()
    assert "n02 is not in val; expected train/CLASS/*.JPEG and val/CLASS/*.JPEG" in refusal("imagenet128", tmp_path)


def test_other_types_are_read_and_what_is_left_out_is_said(tmp_path, capsys):
    root = tmp_path / "imagenet"
    image_folder(root)
    for name in ("a.webp", "b.bmp", "c.tif", "d.gif"):
        Image.new("RGB", (9, 9), (51, 51, 51)).save(
            root / "val/n01" / name, **({"lossless": True} if "w" in name else {})
        )
    for name in ("train/n01/e.avif", "val/n02/deeper/f.png", "val/n02/deeper/g.JPEG", "val/h.svg"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"")
    dataset = datasets["imagenet128"](tmp_path)
    line, copies = capsys.readouterr().err.splitlines()
    assert copies == "imagenet128: copies of others, to the pixel: 3 images"
    assert all(text in line for text in ("left out: ", "1 .svg files", "1 .avif files", "2 files a folder deeper"))
    assert int((dataset.test == 51).flatten(1).all(1).sum()) == 4 and len(dataset.test) == 6
    stamp = read_json(tmp_path / "imagenet128/packed/stamp.json")
    assert stamp["left_out"] == {".svg files": 1, ".avif files": 1, ".txt files": 1, "files a folder deeper": 2}
    datasets["imagenet128"](tmp_path)
    assert not capsys.readouterr().err


def test_the_first_images_are_of_many_classes(tmp_path):
    """A folder by class: the first 12 of 20 classes with 3 images each would be of 4 classes in the order of names."""
    for split in ("train", "val"):
        for label in range(20):
            (tmp_path / f"imagenet/{split}/c{label:02}").mkdir(parents=True)
            for i in range(3):
                grey = Image.new("L", (2, 2), 10 * label)
                grey.save(tmp_path / f"imagenet/{split}/c{label:02}/{i}.png")
    dataset = datasets["imagenet128"](tmp_path)
    for images, labels in ((dataset.train, dataset.train_labels), (dataset.test, dataset.test_labels)):
        assert torch.equal(images[:, 0, 5, 5].long(), 10 * labels)
        assert labels.bincount().tolist() == [3] * 20
        assert len(labels[:12].unique()) >= 8


def test_a_link_to_nowhere_is_named(tmp_path):
    image_folder(tmp_path / "imagenet")
    (tmp_path / "imagenet/val/n01/x.JPEG").symlink_to(tmp_path / "nowhere")
    assert "imagenet128: cannot read" in refusal("imagenet128", tmp_path)


def test_a_folder_that_cannot_be_written_to(tmp_path):
    image_folder(tmp_path / "imagenet")
    (tmp_path / "imagenet256").write_text("in the way")
    assert "imagenet256: cannot write to" in refusal("imagenet256", tmp_path)
