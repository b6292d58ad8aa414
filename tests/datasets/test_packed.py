"""Packing: each array against what its parts gave, whoever was killed, changed or in the way meanwhile."""

import dataclasses
import hashlib
import json
import math
import multiprocessing
import os
import re
import signal
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.datasets import packed as module
from bench.datasets.base import Dataset
from bench.datasets.packed import Block, Part, Sources, packed
from bench.errors import UsageError

SHAPE = (3, 4, 4)
GENERATOR = np.random.default_rng(0)
BLOCKS = {
    split: [(GENERATOR.integers(0, 256, (n, *SHAPE), dtype=np.uint8), GENERATOR.integers(0, 9, n)) for n in sizes]
    for split, sizes in {"train": (5, 3, 4), "test": (2, 3)}.items()
}
NAMES = [f"{split}{i}" for split, blocks in BLOCKS.items() for i in range(len(blocks))]


class Source:
    """Sources of BLOCKS that note which parts are read, and do `before[part]` first."""

    def __init__(self, labelled: bool = True, version: str = "1") -> None:
        self.labelled, self.version = labelled, version
        self.read: list[str] = []
        self.before: dict[str, Callable[[], None]] = {}
        self.sizes = dict.fromkeys(NAMES, 10)

    def find(self) -> Sources:
        parts = {
            split: [self.part(f"{split}{i}", block) for i, block in enumerate(blocks) if f"{split}{i}" in self.sizes]
            for split, blocks in BLOCKS.items()
        }
        return Sources(self.version, self.labelled, parts)

    def part(self, name: str, block: tuple[np.ndarray, np.ndarray]) -> Part:
        def read() -> Block:
            self.before.get(name, lambda: None)()
            self.read.append(name)
            return block if self.labelled else (block[0], None)

        return Part(name, ((f"{name}.bin", self.sizes[name]),), read)

    def open(self, folder: Path, name: str = "tiny") -> Dataset:
        return packed(name, folder, SHAPE, self.find, "expected elsewhere")


def gone(folder: Path, shape: tuple[int, ...] = SHAPE) -> Dataset:
    return packed("tiny", folder, shape, lambda: None, "expected elsewhere")


def joined(split: str, what: int, parts: Sequence[int] | None = None) -> np.ndarray:
    return np.concatenate([block[what] for i, block in enumerate(BLOCKS[split]) if parts is None or i in parts])


def check(dataset: Dataset) -> None:
    """All pixels and labels, and that the stamp is the checksum of these very pixels."""
    for split, images, labels in (
        ("train", dataset.train, dataset.train_labels),
        ("test", dataset.test, dataset.test_labels),
    ):
        assert np.array_equal(images.numpy(), joined(split, 0)) and images.dtype == torch.uint8
        assert labels.tolist() == joined(split, 1).tolist() and labels.dtype == torch.int64
    assert dataset.stamp and dataset.stamp == dataclasses.replace(dataset, stamp=None).checksum
    assert dataset.stamp == hashlib.sha256(b"".join(joined(s, 0).tobytes() for s in BLOCKS)).hexdigest()[:16]


def refusal(attempt: Callable[[], object]) -> str:
    with pytest.raises(UsageError) as caught:
        attempt()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_parts_are_joined_in_order(tmp_path):
    source = Source()
    dataset = source.open(tmp_path)
    check(dataset)
    assert source.read == NAMES
    assert (dataset.name, dataset.version, dataset.levels, dataset.extractor) == ("tiny", "1", 256, "inception")
    arrays = ["test.npy", "test_labels.npy", "train.npy", "train_labels.npy"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "stamp.json", *arrays]
    for array in arrays:
        split, _, labels = array.removesuffix(".npy").partition("_")
        assert np.array_equal(np.load(tmp_path / array, mmap_mode="r"), joined(split, 1 if labels else 0))


def test_data_without_labels(tmp_path):
    dataset = Source(labelled=False).open(tmp_path)
    assert np.array_equal(dataset.train.numpy(), joined("train", 0))
    assert dataset.train_labels is dataset.test_labels is None
    assert not list(tmp_path.glob("*labels*"))


def test_tensors_are_mapped_files_and_writing_to_them_changes_no_file(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns of arrays that are not writable
        dataset = Source().open(tmp_path)
    maps = Path("/proc/self/maps")
    if maps.is_file():
        start = dataset.train.data_ptr() - module.HEADER
        assert any(line.startswith(f"{start:x}-") and "train.npy" in line for line in maps.read_text().splitlines())
    before = (tmp_path / "train.npy").read_bytes()
    dataset.train.zero_()
    assert (tmp_path / "train.npy").read_bytes() == before
    check(Source().open(tmp_path))


def test_data_larger_than_the_memory(tmp_path):
    """The kernel refuses a private mapping of that size if it must be able to back it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    shape = (2 * memory // 48, *SHAPE)
    for array, size in {"train": shape, "test": (1, *SHAPE)}.items():
        with (tmp_path / f"{array}.npy").open("wb") as file:
            file.write(module._header(size))
            try:
                file.truncate(module.HEADER + math.prod(size))
            except OSError:
                pytest.skip("no such large files here")
    stamp = {"version": "1", "checksum": "0" * 16, "arrays": {"train": shape, "test": (1, *SHAPE)}, "sources": {}}
    (tmp_path / "stamp.json").write_text(json.dumps(stamp))
    dataset = gone(tmp_path)
    assert dataset.train.shape == shape and int(dataset.train[-1].sum()) == 0 and dataset.checksum == "0" * 16


def test_what_is_packed_is_not_read_again_and_needs_no_sources(tmp_path):
    Source().open(tmp_path)
    second = Source()
    check(second.open(tmp_path))
    check(gone(tmp_path))
    assert second.read == []


def test_nothing_at_all(tmp_path):
    assert refusal(lambda: gone(tmp_path / "a")) == "tiny: expected elsewhere"
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.sizes.update(train1=11), r"tiny: train1 is 1 file of 11 bytes \(\w{16}\), and when .* 10 bytes"),
        (lambda s: s.sizes.pop("test0"), r"tiny: test0 is not there, and when .* it was 1 file of 10 bytes"),
        (lambda s: setattr(s, "version", "2"), r"tiny: version is 2, and when .* it was 1;"),
    ],
)
def test_sources_that_changed_are_named(tmp_path, change, message):
    Source().open(tmp_path)
    source = Source()
    change(source)
    text = refusal(lambda: source.open(tmp_path))
    assert re.search(message, text) and text.endswith("to pack again")
    check(gone(tmp_path))


def test_a_source_that_came_later_is_named(tmp_path):
    source = Source()
    del source.sizes["train2"]
    source.open(tmp_path)
    assert "train2 is 1 file of 10 bytes" in refusal(lambda: Source().open(tmp_path))


@pytest.mark.parametrize(
    ("file", "spoil", "message"),
    [
        ("train.npy", lambda data: data[:-1], r"train\.npy: its 703 bytes are not the 704 of \(12, 3, 4, 4\)"),
        ("test.npy", lambda data: data + b"\0", r"test\.npy: its 369 bytes are not the 368"),
        ("train_labels.npy", lambda data: b"", r"train_labels\.npy: its 0 bytes are not the 224 of \(12,\)"),
        ("test.npy", lambda data: data.replace(b"(5, 3, 4, 4)", b"(5, 4, 3, 4)"), r"test\.npy: its 368 bytes"),
        ("test.npy", None, r"test\.npy: cannot be mapped \(No such file"),
        ("stamp.json", lambda data: data[:50], r"stamp\.json: not the stamp"),
        ("stamp.json", lambda data: b"{}", r"stamp\.json: not the stamp"),
        ("stamp.json", lambda data: b"[1]", r"stamp\.json: not the stamp"),
        (
            "stamp.json",
            lambda data: data.replace(b'"test"', b'"rest"'),
            r"stamp\.json: test is None, tiny is \(N, 3, 4",
        ),
    ],
)
def test_spoilt_files_are_named(tmp_path, file, spoil, message):
    Source().open(tmp_path)
    path = tmp_path / file
    path.write_bytes(spoil(path.read_bytes())) if spoil else path.unlink()
    for attempt in (lambda: gone(tmp_path), lambda: Source().open(tmp_path)):
        with pytest.raises(UsageError, match=message):
            attempt()


def test_images_of_another_size(tmp_path):
    Source().open(tmp_path)
    assert "train is (12, 3, 4, 4), tiny is (N, 3, 8, 8)" in refusal(lambda: gone(tmp_path, (3, 8, 8)))


def test_arrays_without_a_stamp_are_not_overwritten(tmp_path):
    (tmp_path / "train.npy").write_bytes(b"precious")
    assert "train.npy: lies there without stamp.json" in refusal(lambda: Source().open(tmp_path))
    assert (tmp_path / "train.npy").read_bytes() == b"precious"


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert f"tiny: cannot write to {tmp_path / 'file'}" in refusal(lambda: Source().open(tmp_path / "file"))


def stop() -> None:
    raise UsageError("part: unreadable")


@pytest.mark.parametrize("at", range(len(NAMES)))
def test_a_pack_goes_on_behind_the_last_whole_part(tmp_path, at):
    first, second = Source(), Source()
    first.before[NAMES[at]] = stop
    assert refusal(lambda: first.open(tmp_path)) == "part: unreadable"
    assert not (tmp_path / "stamp.json").exists() and not list(tmp_path.glob("*.npy"))
    check(second.open(tmp_path))
    assert first.read + second.read == NAMES


def test_the_part_that_failed_may_be_mended(tmp_path):
    first, second = Source(), Source()
    first.before["train2"] = stop
    refusal(lambda: first.open(tmp_path))
    second.sizes["train2"] = 12
    check(second.open(tmp_path))
    assert second.read == NAMES[2:]


def test_parts_that_changed_before_it_went_on_are_packed_again(tmp_path):
    first, second = Source(), Source()
    first.before["test1"] = stop
    refusal(lambda: first.open(tmp_path))
    second.sizes["train1"] = 12
    check(second.open(tmp_path))
    assert second.read == ["train0", "train1", "train2", "test1"]


def test_a_lost_partial_array_is_packed_again(tmp_path):
    first, second = Source(), Source()
    first.before["test1"] = stop
    refusal(lambda: first.open(tmp_path))
    (tmp_path / "train_labels.npy.partial").unlink()
    check(second.open(tmp_path))
    assert second.read == ["train0", "train1", "train2", "test1"]


def test_a_killed_pack(tmp_path, monkeypatch):
    """Killed in the middle of writing a part: its images are there, its labels and the count of it are not."""
    append = module._append

    def torn(path: Path, shape: tuple[int, ...], values: np.ndarray) -> None:
        append(path, shape, values)
        if path.name == "train.npy.partial" and shape[0] == 5:
            os.kill(os.getpid(), signal.SIGKILL)

    def child() -> None:
        monkeypatch.setattr(module, "_append", torn)
        Source().open(tmp_path)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert (tmp_path / "train.npy.partial").stat().st_size == 128 + 8 * 48
    second = Source()
    check(second.open(tmp_path))
    assert second.read == NAMES[1:]


def test_a_pack_that_ended_before_its_stamp(tmp_path, monkeypatch):
    names = 0

    def replace(path: Path, target: Path) -> Path:
        nonlocal names
        if target.suffix == ".npy" and (names := names + 1) == 3:
            raise KeyboardInterrupt
        return rename(path, target)

    rename = Path.replace
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        with pytest.raises(KeyboardInterrupt):
            Source().open(tmp_path)
    assert len(list(tmp_path.glob("*.npy"))) == 2
    second = Source()
    check(second.open(tmp_path))
    assert second.read == []


def test_processes_that_ask_at_once_pack_once(tmp_path):
    fork = multiprocessing.get_context("fork")
    barrier, answers = fork.Barrier(2), fork.Queue()

    def child() -> None:
        source = Source()
        barrier.wait(30)
        check(source.open(tmp_path))
        answers.put(source.read)

    workers = [fork.Process(target=child) for _ in range(2)]
    for worker in workers:
        worker.start()
    assert sorted(answers.get(timeout=60) for _ in workers) == [[], NAMES]
    for worker in workers:
        worker.join(60)


def test_sources_that_cannot_be_listed(tmp_path):
    def find() -> Sources:
        os.stat(tmp_path / "dangling")
        raise AssertionError

    message = f"tiny: cannot read {tmp_path / 'dangling'}: No such file or directory"
    assert refusal(lambda: packed("tiny", tmp_path, SHAPE, find, "")) == message
