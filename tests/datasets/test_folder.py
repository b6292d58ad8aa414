"""A folder of images as a dataset: every arrangement against the pixels that were written, and every fault by name."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench.config.components import build_dataset
from bench.config.registry import datasets, metrics
from bench.config.settings import Component
from bench.datasets import imagefolder, packing
from bench.datasets.base import Dataset
from bench.datasets.imagefolder import read_image
from bench.datasets.order import permutation
from bench.errors import UsageError
from bench.identity import inputs
from bench.metrics.extractors.reference import Reference
from bench.records.seal import read_json

GENERATOR = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def write(folder: Path, n: int, side: int = 4, start: int = 0) -> np.ndarray:
    """n colour images of noise, (n, 3, side, side), in the order of their names."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = GENERATOR.integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    for i in range(n):
        Image.fromarray(pixels[i]).save(folder / f"{start + i:03}.png")
    return pixels.transpose(0, 3, 1, 2)


def opened(tmp_path: Path, path: str = "mine", **options: Any) -> Dataset:
    wanted = {"path": path, "size": 4, **options}
    return build_dataset(Component(name="folder", options=wanted), tmp_path / "data")


def refusal(tmp_path: Path, **options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        opened(tmp_path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(tmp_path / "data"), "DATA")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return tmp_path / "data" / "mine"


def test_flat_files_are_cut_in_the_fixed_order(tmp_path: Path, mine: Path) -> None:
    written = write(mine, 20)
    data = opened(tmp_path)
    ordered = written[permutation(20)]
    assert np.array_equal(data.train.numpy(), ordered[:18]) and np.array_equal(data.test.numpy(), ordered[18:])
    assert data.validation is data.train_labels is data.test_labels is None
    assert (data.name, data.version, data.levels) == ("folder", "1-3x4-centre-test0.1", 256)
    assert data.extractor == "inception"  # without classes there is no other
    three = opened(tmp_path, test=5, validation=0.25)
    assert np.array_equal(torch.cat([three.train, three.validation, three.test]).numpy(), ordered)
    assert (len(three.train), len(three.validation), len(three.test)) == (10, 5, 5)
    assert three.version == "1-3x4-centre-test5-validation0.25" and three.checksum == data.checksum
    other = opened(tmp_path, seed=3)
    assert np.array_equal(torch.cat([other.train, other.test]).numpy(), written[permutation(20, 3)])
    assert other.version == "1-3x4-centre-seed3-test0.1" and other.checksum != data.checksum


def test_classes_from_folders(tmp_path: Path, mine: Path) -> None:
    cats, dogs, owls = (write(mine / name, n) for name, n in (("cats", 5), ("dogs", 4), ("owls", 3)))
    data = opened(tmp_path, test=4)
    images, labels = np.concatenate([cats, dogs, owls]), np.repeat([0, 1, 2], [5, 4, 3])
    found = torch.cat([data.train, data.test]), torch.cat([data.train_labels, data.test_labels])
    assert np.array_equal(found[0].numpy(), images[permutation(12)])
    assert found[1].tolist() == labels[permutation(12)].tolist()
    assert data.classes == 3 and data.extractor == "folder_cnn"
    assert opened(tmp_path, test=4, extractor="inception").extractor == "inception"


@pytest.mark.parametrize("classes", [(), ("a", "b")])
@pytest.mark.parametrize("third", ["validation", "val", "Valid"])
def test_splits_from_folders(tmp_path: Path, mine: Path, classes: tuple[str, ...], third: str) -> None:
    written = {
        split: np.concatenate([write(mine / split / kind, n) for kind in classes or ("",)])
        for split, n in (("train", 5), (third, 3), ("test", 2))
    }
    data = opened(tmp_path)
    for split, name in (("train", "train"), ("validation", third), ("test", "test")):
        order = permutation(len(written[name]))
        assert np.array_equal(getattr(data, split).numpy(), written[name][order])
        labels = getattr(data, f"{split}_labels")
        assert (labels is None) == (not classes)
        if classes:
            assert labels.tolist() == np.repeat([0, 1], len(order) // 2)[order].tolist()
    assert data.version == "1-3x4-centre"
    assert refusal(tmp_path, test=1).endswith("test = 1: the data has a test split of its own")
    assert "validation = 0.5: the data has a validation split" in refusal(tmp_path, validation=0.5)


def test_a_validation_folder_is_no_test_split(tmp_path: Path, mine: Path) -> None:
    train, val = write(mine / "train", 10), write(mine / "val", 2)
    data = opened(tmp_path, test=0.2)
    assert np.array_equal(data.validation.numpy(), val[permutation(2)])
    assert np.array_equal(torch.cat([data.train, data.test]).numpy(), train[permutation(10)]) and len(data.test) == 2


def test_sizes_crops_and_grey(tmp_path: Path, mine: Path) -> None:
    mine.mkdir(parents=True)
    for i in range(10):
        pixels = GENERATOR.integers(0, 256, (12, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(mine / f"{i}.png")
    data = opened(tmp_path, size=6)
    image, square = Image.open(mine / f"{permutation(10)[0]}.png"), (4, 0, 16, 12)
    small = image.resize((6, 6), Image.Resampling.BICUBIC, square)
    assert np.array_equal(data.train[0].numpy(), np.asarray(small).transpose(2, 0, 1))
    grey = opened(tmp_path, size=6, channels=1)
    assert grey.shape == (1, 6, 6) and grey.version == "1-1x6-centre-test0.1"
    small = image.convert("L").resize((6, 6), Image.Resampling.BICUBIC, square)
    assert np.array_equal(grey.train[0, 0].numpy(), np.asarray(small))
    assert refusal(tmp_path, size=12, crop="exact") == "DATA/mine/0.png: 20 x 12 pixels, expected 12 x 12"


def test_a_grey_image_keeps_its_values(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(levels).save(tmp_path / "a.png")
    for channels in (1, 3):
        found = read_image(tmp_path / "a.png", 16, False, channels)
        assert found.shape == (channels, 16, 16) and np.array_equal(found, np.stack([levels] * channels))


def test_a_path_starts_from_the_data_or_from_home(tmp_path: Path, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "home" / "photos", 10)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    home, whole = opened(tmp_path, "~/photos"), opened(tmp_path, str(tmp_path / "home" / "photos"))
    assert home.checksum == whole.checksum and len(list((tmp_path / "data" / "packed").iterdir())) == 1
    assert refusal(tmp_path, path="photos").startswith(
        "folder: path = 'photos': nothing at DATA/photos; expected there *.png, CLASS/*.png"
    )


def test_it_is_packed_once_and_other_files_are_other_data(
    tmp_path: Path, mine: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(mine, 10)
    (mine / "notes.txt").write_text("")
    note: set[str] = set()
    with inputs.noted(note):
        first = opened(tmp_path)
    (packed,) = (tmp_path / "data" / "packed").iterdir()
    assert capsys.readouterr().err == f"folder: packing 10 train files into {packed}, once; left out: 1 .txt files\n"
    assert set(inputs.described(note)) == {str(packed / "stamp.json")}  # by which a record tells other data
    with monkeypatch.context() as patch:
        patch.setattr(imagefolder, "read_image", None)
        assert datasets["folder"](tmp_path / "data", "mine", 4).checksum == first.checksum
    Image.new("RGB", (4, 4)).save(mine / "003.png")
    text = f"folder: mine is 10 files of .*, and was 10 .* when {packed} was packed; remove {packed} to pack again"
    with pytest.raises(UsageError, match=f"^{text}$"):
        datasets["folder"](tmp_path / "data", "mine", 4)
    for path in packed.iterdir():
        path.unlink()
    packed.rmdir()
    assert datasets["folder"](tmp_path / "data", "mine", 4).checksum != first.checksum


def test_a_pack_that_was_stopped_goes_on(tmp_path: Path, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = np.concatenate([write(mine / f"{kind}", 4) for kind in "abc"])
    reads: list[str] = []

    def read(path: Path, *form: Any) -> Any:
        reads.append(path.parent.name)
        if path.parent.name == "c" and len(reads) <= 12:
            raise KeyboardInterrupt
        return read_image(path, *form)

    monkeypatch.setattr(imagefolder, "read_image", read)
    with pytest.raises(KeyboardInterrupt):
        opened(tmp_path)
    seen = len(reads)
    reads += ["-"] * 12
    data = opened(tmp_path)
    assert set(reads[:seen]) == {"a", "b", "c"} and set(reads[seen + 12 :]) == {"c"}
    assert np.array_equal(torch.cat([data.train, data.test]).numpy(), written[permutation(12)])


def test_copies_are_said(tmp_path: Path, mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(mine / "train", 6)
    write(mine / "test", 3)
    for name in ("test/100.png", "test/101.png", "train/100.png"):
        (mine / name).write_bytes((mine / "train" / "002.png").read_bytes())
    opened(tmp_path)
    *_, line = capsys.readouterr().err.splitlines()
    assert line == "folder: copies of others, to the pixel: 3 images and 2 test images in train"
    (stamp,) = (tmp_path / "data" / "packed").glob("*/stamp.json")
    assert read_json(stamp)["copies"] == {"images": 3, "test images in train": 2}
    images = torch.arange(8, dtype=torch.uint8).view(8, 1, 1, 1)
    assert packing.copied({"train": images}) == {}


def image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4)).save(path)


FAULTS: dict[str, tuple[list[str], dict[str, Any], str]] = {
    "nothing": (["empty/"], {}, r"DATA/mine/empty: no images in it; expected \.bmp"),
    "no images": (["a.txt"], {}, r"DATA/mine: no images in it"),
    "an empty class": (["a/1.png", "b/"], {}, r"DATA/mine/b: no images in it; expected \.bmp"),
    "images beside classes": (["a/1.png", "1.png"], {}, r"DATA/mine: the image 1\.png lies beside the folder a"),
    "images beside classes of a split": (["train/a/1.png", "train/1.png"], {}, r"DATA/mine/train: the image 1\.png"),
    "too deep": (["a/b/c/1.png", "a/1.png"], {}, r"DATA/mine/a/b/c/1\.png: an image a folder too deep"),
    "too deep in a split": (["train/a/1.png", "train/a/b/2.png"], {}, r"train/a/b/2\.png: an image a folder too deep"),
    "a split beside a class": (["train/1.png", "cats/1.png"], {}, r"DATA/mine: cats is no split, and train is one"),
    "no train": (["test/1.png"], {}, r"DATA/mine: test is a split, and there is no train"),
    "a split twice": (["train/1.png", "val/1.png", "valid/1.png"], {}, r"val and valid are one split twice"),
    "classes in one split": (["train/a/1.png", "test/1.png"], {}, r"test/ and train/a/: classes in every split"),
    "a class that train lacks": (["train/a/1.png", "test/b/1.png"], {}, r"mine/test/b: train has no class 'b'"),
    "one image": (["1.png"], {}, r"dataset folder: test = 0\.1: 0 of 1 samples; train has one sample"),
    "a share of nothing": (["1.png", "2.png"], {}, r"test = 0\.1: 0 of 2 samples; a count, .* of 1 to 1 samples"),
    "all of it": (["1.png", "2.png"], {"test": 2}, r"test = 2: 2 of 2 samples; a count"),
    "no test": (["1.png", "2.png"], {"test": 0}, r"test = 0: 0 of 2 samples; a count"),
    "less than none": (
        ["1.png", "2.png"],
        {"test": 1, "validation": -1},
        r"validation = -1: a count of 1 or more, or a sh",
    ),
    "a truth": (
        ["1.png", "2.png"],
        {"test": True},
        r"dataset folder: test = True: a count of 1 or more, or a share betw",
    ),
    "half a sample": (["1.png", "2.png"], {"test": 1.5}, r"test = 1\.5: a count of 1 or more"),
    "no number of samples": (
        ["1.png", "2.png"],
        {"validation": float("nan")},
        r"validation = nan: (a count|not a number)",
    ),
    "no end": (["1.png", "2.png"], {"validation": float("inf")}, r"validation = inf: a count of 1 or more"),
    "no path": (["1.png"], {"path": ""}, r"dataset folder: path = '': String should have at least 1 character"),
    "a size of nothing": (["1.png"], {"size": 0}, r"size = 0: 1 to 4096"),
    "a seed below 0": (["1.png"], {"seed": -1}, r"seed = -1: 0 to 4294967295"),
    "two channels": (["1.png"], {"channels": 2}, r"dataset folder: channels = 2: Input should be 1 or 3"),
    "another crop": (["1.png"], {"crop": "left"}, r"crop = 'left': Input should be 'centre' or 'exact'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line(tmp_path: Path, mine: Path, fault: str) -> None:
    names, options, message = FAULTS[fault]
    for name in names:
        if name.endswith("/"):
            (mine / name).mkdir(parents=True)
        elif name.endswith(".png"):
            image(mine / name)
        else:
            mine.mkdir(parents=True, exist_ok=True)
            (mine / name).write_text("")
    assert re.search(message, text := refusal(tmp_path, **options)), text


def test_an_image_that_cannot_be_read_is_named_and_may_be_taken_away(tmp_path: Path, mine: Path) -> None:
    write(mine / "a", 6)
    write(mine / "b", 6)
    (mine / "b" / "bad.jpg").write_bytes(b"no image")
    assert refusal(tmp_path).startswith("DATA/mine/b/bad.jpg: not an image, or not whole: ")
    (mine / "b" / "bad.jpg").unlink()
    assert len(opened(tmp_path).train) == 11


def test_options_without_a_default_are_asked_for(tmp_path: Path) -> None:
    for given, lacking in (({"size": 4}, "path"), ({"path": "x"}, "size")):
        with pytest.raises(UsageError, match=rf"^dataset folder: option {lacking} is missing; it has no default$"):
            build_dataset(Component(name="folder", options=given), tmp_path)


@pytest.mark.slow
def test_digits_from_a_folder_score_as_the_digits_do(tmp_path: Path, mine: Path) -> None:
    """The Frechet distance of test to train, in the pixels themselves as features."""
    digits = datasets["digits"](tmp_path)
    for split in ("train", "test"):
        pixels, labels = digits.pixels(getattr(digits, split)), getattr(digits, f"{split}_labels")
        for i, (one, label) in enumerate(zip(pixels[:, 0].numpy(), labels.tolist(), strict=True)):
            path = mine / split / f"{label}" / f"{i:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(one).save(path, compress_level=0)
    data = opened(tmp_path, size=8, channels=1, crop="exact")
    for split in ("train", "test"):
        written, found = (
            sorted(zip(labels.tolist(), pixels.flatten(1).tolist(), strict=True))
            for labels, pixels in (
                (getattr(digits, f"{split}_labels"), digits.pixels(getattr(digits, split))),
                (getattr(data, f"{split}_labels"), getattr(data, split)),
            )
        )
        assert written == found
    scores = [_distance(dataset, tmp_path / "kept") for dataset in (digits, data)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-9) and scores[0] > 1


def _distance(dataset: Dataset, folder: Path) -> float:
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY, register_feature_extractor

    if "pixels_of_digits" not in FEATURE_EXTRACTORS_REGISTRY:
        register_feature_extractor("pixels_of_digits", pixels_as_features())
    reference = Reference(dataset, "pixels_of_digits", folder)
    held = reference.real("test", 360)
    return float(metrics["fid"].measure(held, reference.features, dataset, None))


def pixels_as_features() -> Any:
    from torch_fidelity import FeatureExtractorBase

    class Pixels(FeatureExtractorBase):  # type: ignore[misc]
        def __init__(self, name: str, features_list: list[str], **_: Any) -> None:
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return ("pixels",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "pixels"

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (images[:, 0].flatten(1).float(),)

    return Pixels
