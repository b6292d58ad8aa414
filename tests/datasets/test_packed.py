"""Packing: each array against what its parts gave, whoever was killed, changed or in the way meanwhile."""

import dataclasses
import errno
import hashlib
import json
import math
import multiprocessing
import os
import re
import signal
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.datasets import mapped, packing
from bench.datasets.base import Dataset
from bench.datasets.order import permutation
from bench.datasets.packed import packed
from bench.datasets.parts import Block, Originals, Part, file_of
from bench.errors import UsageError
from bench.identity import inputs
from bench.records.disk import NoSpace
from bench.records.seal import read_json, write_json

SHAPE = (3, 4, 4)
GENERATOR = np.random.default_rng(0)
BLOCKS = {
    split: [(GENERATOR.integers(0, 256, (n, *SHAPE), dtype=np.uint8), GENERATOR.integers(0, 9, n)) for n in sizes]
    for split, sizes in {"train": (5, 3, 4), "test": (2, 3)}.items()
}
NAMES = [f"{split}{i}" for split, blocks in BLOCKS.items() for i in range(len(blocks))]


class Source:
    """Originals of BLOCKS, a file of 10 bytes a part; they note which parts are read and do `before[part]` first."""

    def __init__(self, folder: Path, labelled: bool = True, version: str = "1", counted: bool = False) -> None:
        self.folder = folder.with_name(f"{folder.name}-sources")
        self.labelled, self.version, self.counted = labelled, version, counted
        self.read: list[str] = []
        self.before: dict[str, Callable[[], None]] = {}
        self.left_out: dict[str, int] = {}
        self.folder.mkdir(exist_ok=True)
        for name in NAMES:
            if not (self.folder / name).exists():
                self.write(name, b"0123456789")

    def write(self, name: str, data: bytes) -> None:
        (self.folder / name).write_bytes(data)

    def remove(self, name: str) -> None:
        (self.folder / name).unlink()

    def find(self) -> Originals:
        parts = {
            split: [self.part(f"{split}{i}", block) for i, block in enumerate(blocks) if self.has(f"{split}{i}")]
            for split, blocks in BLOCKS.items()
        }
        return Originals(self.version, self.labelled, parts, lambda: self.left_out)

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def part(self, name: str, block: tuple[np.ndarray, np.ndarray]) -> Part:
        def read() -> Block:
            self.before.get(name, lambda: None)()
            self.read.append(name)
            return block if self.labelled else (block[0], None)

        rows = None if self.counted else len(block[0])
        return Part(name, (file_of(self.folder / name),), read, rows)

    def open(self, folder: Path, name: str = "tiny") -> Dataset:
        return packed(name, folder, SHAPE, self.find, "expected elsewhere")


def gone(folder: Path, shape: tuple[int, ...] = SHAPE) -> Dataset:
    return packed("tiny", folder, shape, lambda: None, "expected elsewhere")


def joined(split: str, what: int) -> np.ndarray:
    """The images (0) or labels (1) of all parts in the fixed order."""
    values = np.concatenate([block[what] for block in BLOCKS[split]])
    return values[permutation(len(values))]


def check(dataset: Dataset) -> None:
    """All pixels and labels, and that the stamp is the checksum of these very pixels."""
    for split, images, labels in (
        ("train", dataset.train, dataset.train_labels),
        ("test", dataset.test, dataset.test_labels),
    ):
        assert np.array_equal(images.numpy(), joined(split, 0)) and images.dtype == torch.uint8
        assert labels.tolist() == joined(split, 1).tolist() and labels.dtype == torch.int64
    assert dataset.stamp and dataset.stamp == dataclasses.replace(dataset, stamp=None).fix().checksum
    assert dataset.stamp == hashlib.sha256(b"".join(joined(s, 0).tobytes() for s in BLOCKS)).hexdigest()[:16]


def refusal(attempt: Callable[[], object]) -> str:
    with pytest.raises(UsageError) as caught:
        attempt()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_parts_are_joined_in_the_fixed_order(tmp_path):
    source = Source(tmp_path)
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
    dataset = Source(tmp_path, labelled=False).open(tmp_path)
    assert np.array_equal(dataset.train.numpy(), joined("train", 0))
    assert dataset.train_labels is dataset.test_labels is None
    assert not list(tmp_path.glob("*labels*"))


def test_tensors_are_mapped_files_and_writing_to_them_changes_no_file(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns of arrays that are not writable
        dataset = Source(tmp_path).open(tmp_path)
    maps = Path("/proc/self/maps")
    if maps.is_file():
        start = dataset.train.data_ptr() - mapped.HEADER
        assert any(line.startswith(f"{start:x}-") and "train.npy" in line for line in maps.read_text().splitlines())
    before = (tmp_path / "train.npy").read_bytes()
    dataset.train.zero_()
    assert (tmp_path / "train.npy").read_bytes() == before
    check(Source(tmp_path).open(tmp_path))


def test_data_larger_than_the_memory(tmp_path):
    """The kernel refuses a private mapping of that size if it must be able to back it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    shape = (2 * memory // 48, *SHAPE)
    for array, size in {"train": shape, "test": (1, *SHAPE)}.items():
        with (tmp_path / f"{array}.npy").open("wb") as file:
            file.write(mapped.header(size))
            try:
                file.truncate(mapped.HEADER + math.prod(size))
            except OSError:
                pytest.skip("no such large files here")
    arrays = {"train": shape, "test": (1, *SHAPE)}
    times = {array: (tmp_path / f"{array}.npy").stat().st_mtime_ns for array in arrays}
    stamp = {"layout": packing.LAYOUT, "version": "1", "checksum": "0" * 16, "arrays": arrays, "times": times}
    write_json(tmp_path / "stamp.json", stamp | {"digests": {}, "sources": {}, "left_out": {}})
    dataset = gone(tmp_path)
    assert dataset.train.shape == shape and int(dataset.train[-1].sum()) == 0 and dataset.checksum == "0" * 16


def test_what_is_packed_is_not_read_again_and_needs_no_sources(tmp_path):
    Source(tmp_path).open(tmp_path)
    second = Source(tmp_path)
    check(second.open(tmp_path))
    check(gone(tmp_path))
    assert second.read == []


def test_the_stamp_stands_for_everything_that_is_opened(tmp_path):
    """A record neither lists a million images nor hashes 250 GB."""
    for _ in range(2):  # packed, then opened
        opened: set[str] = set()
        source = Source(tmp_path)
        source.before["train1"] = (source.folder / "train1").read_bytes
        with inputs.noted(opened):
            source.open(tmp_path)
        assert set(inputs.described(opened)) == {str(tmp_path / "stamp.json")}


def test_nothing_at_all(tmp_path):
    assert refusal(lambda: gone(tmp_path / "a")) == "tiny: expected elsewhere"
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.write("train1", b"01234567890"),
            r"tiny: train1 is 1 file of 11 bytes \(\w{16}\), and was .* 10 byt",
        ),
        (lambda s: s.remove("test0"), r"tiny: test0 is not there, and was 1 file of 10 bytes"),
        (
            lambda s: os.utime(s.folder / "train1", (1, 1)),
            r"tiny: train1 is 1 file of 10 bytes \(\w{16}\), and was 1 file of 10 bytes \(\w{16}\) when ",
        ),
        (lambda s: setattr(s, "version", "2"), r"tiny: the version of its sources is 2, and was 1 when "),
    ],
)
def test_sources_that_changed_are_named(tmp_path, change, message):
    Source(tmp_path).open(tmp_path)
    source = Source(tmp_path)
    change(source)
    text = refusal(lambda: source.open(tmp_path))
    assert re.search(message, text) and text.endswith("to pack again")
    check(gone(tmp_path))


def test_a_source_that_came_later_is_named(tmp_path):
    source = Source(tmp_path)
    source.remove("train2")
    source.open(tmp_path)
    assert "train2 is 1 file of 10 bytes" in refusal(lambda: Source(tmp_path).open(tmp_path))


def test_an_array_that_was_touched_is_hashed_once(tmp_path, monkeypatch):
    """Copies have other times; what they hold decides."""
    source = Source(tmp_path)
    source.open(tmp_path)
    path, before = tmp_path / "test.npy", (tmp_path / "test.npy").stat().st_mtime_ns
    os.utime(path, (1, 1))
    check(source.open(tmp_path))
    assert path.stat().st_mtime_ns == before and source.read == NAMES
    monkeypatch.setattr("bench.datasets.packed.digest_of", None)
    check(source.open(tmp_path))


@pytest.mark.parametrize("array", ["train", "test_labels"])
def test_values_that_are_not_what_was_packed(tmp_path, array):
    Source(tmp_path).open(tmp_path)
    path = tmp_path / f"{array}.npy"
    data = bytearray(path.read_bytes())
    data[150] ^= 1
    path.write_bytes(data)
    assert f"{array}.npy: its values are not those that were packed; remove" in refusal(lambda: gone(tmp_path))


def test_what_an_older_version_packed_is_refused(tmp_path):
    """In the order of its sources, with a stamp that has no digest."""
    Source(tmp_path).open(tmp_path)
    old = {"version": "1", "checksum": "0" * 16, "arrays": {"train": (12, *SHAPE)}, "sources": {"version": "1"}}
    (tmp_path / "stamp.json").write_text(json.dumps(old))
    assert "layout 3 (it has no digest" in (text := refusal(lambda: gone(tmp_path)))
    assert text.endswith(f"remove {tmp_path} to pack again")
    write_json(tmp_path / "stamp.json", old | {"layout": 1, "digests": {}, "left_out": {}})
    assert "(layout 1)" in refusal(lambda: gone(tmp_path))


def test_images_that_are_left_out_are_counted_and_said(tmp_path, capsys):
    source = Source(tmp_path)
    source.left_out = {".avif files": 2, "files a folder deeper": 7}
    source.open(tmp_path)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("once; left out: 2 .avif files, 7 files a folder deeper")
    assert read_json(tmp_path / "stamp.json")["left_out"] == source.left_out


def test_parts_that_do_not_say_how_many_rows_they_have_are_counted_first(tmp_path):
    first, second = Source(tmp_path, counted=True), Source(tmp_path, counted=True)
    first.before["train2"] = lambda: stop() if len(first.read) > 3 else None
    assert refusal(lambda: first.open(tmp_path)) == "part: unreadable"
    check(second.open(tmp_path))
    assert first.read == ["train0", "train1", "train2", "train0", "train1"]
    assert second.read == ["train0", "train1", "train2", "train2", "test0", "test1", "test0", "test1"]


def test_a_full_disk_is_one_line_and_packing_goes_on_when_there_is_room(tmp_path, monkeypatch):
    def full(descriptor: int) -> None:
        if first.read[-1:] == ["train2"]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    first, second = Source(tmp_path), Source(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(NoSpace, match=rf"^no space left on .* for {tmp_path / 'train.npy.partial'}$"):
            first.open(tmp_path)
    check(second.open(tmp_path))
    assert second.read == NAMES[2:]


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
            r"stamp\.json: not the stamp .*its content is not what its digest says",
        ),
    ],
)
def test_spoilt_files_are_named(tmp_path, file, spoil, message):
    Source(tmp_path).open(tmp_path)
    path = tmp_path / file
    path.write_bytes(spoil(path.read_bytes())) if spoil else path.unlink()
    for attempt in (lambda: gone(tmp_path), lambda: Source(tmp_path).open(tmp_path)):
        with pytest.raises(UsageError, match=message):
            attempt()


def test_images_of_another_size(tmp_path):
    Source(tmp_path).open(tmp_path)
    assert "train is (12, 3, 4, 4), tiny is (N, 3, 8, 8)" in refusal(lambda: gone(tmp_path, (3, 8, 8)))


def test_arrays_without_a_stamp_are_not_overwritten(tmp_path):
    (tmp_path / "train.npy").write_bytes(b"precious")
    assert "train.npy: lies there without stamp.json" in refusal(lambda: Source(tmp_path).open(tmp_path))
    assert (tmp_path / "train.npy").read_bytes() == b"precious"


def test_a_folder_that_is_read_only_serves_what_is_packed(tmp_path, monkeypatch):
    """Neither locked nor written to: as on a file system that is mounted read-only."""
    source = Source(tmp_path)
    source.open(tmp_path)
    os.utime(tmp_path / "test.npy", (1, 1))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def refused(*args: object, **named: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("bench.datasets.packed.locked", refused)
    monkeypatch.setattr("bench.records.seal.write_atomic", refused)
    monkeypatch.setattr(os, "utime", refused)
    check(source.open(tmp_path))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert f"tiny: cannot write to {tmp_path / 'file'}" in refusal(lambda: Source(tmp_path).open(tmp_path / "file"))


def stop() -> None:
    raise UsageError("part: unreadable")


@pytest.mark.parametrize("at", range(len(NAMES)))
def test_a_pack_goes_on_behind_the_last_whole_part(tmp_path, at):
    first, second = Source(tmp_path), Source(tmp_path)
    first.before[NAMES[at]] = stop
    assert refusal(lambda: first.open(tmp_path)) == "part: unreadable"
    assert not (tmp_path / "stamp.json").exists() and not list(tmp_path.glob("*.npy"))
    check(second.open(tmp_path))
    assert first.read + second.read == NAMES


def test_the_part_that_failed_may_be_mended(tmp_path):
    first, second = Source(tmp_path), Source(tmp_path)
    first.before["train2"] = stop
    refusal(lambda: first.open(tmp_path))
    second.write("train2", b"mended")
    check(second.open(tmp_path))
    assert second.read == NAMES[2:]


def test_parts_that_changed_before_it_went_on_are_packed_again(tmp_path):
    first, second = Source(tmp_path), Source(tmp_path)
    first.before["test1"] = stop
    refusal(lambda: first.open(tmp_path))
    second.write("train1", b"changed it")
    check(second.open(tmp_path))
    assert second.read == ["train0", "train1", "train2", "test1"]


def test_a_lost_partial_array_is_packed_again(tmp_path):
    first, second = Source(tmp_path), Source(tmp_path)
    first.before["test1"] = stop
    refusal(lambda: first.open(tmp_path))
    (tmp_path / "train_labels.npy.partial").unlink()
    check(second.open(tmp_path))
    assert second.read == ["train0", "train1", "train2", "test1"]


def test_damaged_progress_is_said_and_everything_is_packed_again(tmp_path, capsys):
    first, second = Source(tmp_path), Source(tmp_path)
    first.before["test1"] = stop
    refusal(lambda: first.open(tmp_path))
    path = tmp_path / "progress.json"
    path.write_bytes(path.read_bytes().replace(b"1 file", b"2 file"))
    check(second.open(tmp_path))
    assert second.read == NAMES and f"{path}: its content is not" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_pack(tmp_path, monkeypatch):
    """Killed in the middle of writing a part: its images are there, its labels and the count of it are not."""
    write_rows = packing.write_rows

    def torn(path: Path, rows: np.ndarray, values: np.ndarray) -> None:
        write_rows(path, rows, values)
        if path.name == "train.npy.partial" and len(values) == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    def child() -> None:
        monkeypatch.setattr(packing, "write_rows", torn)
        Source(tmp_path).open(tmp_path)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert (tmp_path / "train.npy.partial").stat().st_size == 128 + 12 * 48
    second = Source(tmp_path)
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
            Source(tmp_path).open(tmp_path)
    assert len(list(tmp_path.glob("*.npy"))) == 2
    second = Source(tmp_path)
    check(second.open(tmp_path))
    assert second.read == []


@pytest.mark.slow
def test_processes_that_ask_at_once_pack_once(tmp_path):
    fork = multiprocessing.get_context("fork")
    barrier, answers = fork.Barrier(2), fork.Queue()

    def child() -> None:
        source = Source(tmp_path)
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
    def find() -> Originals:
        os.stat(tmp_path / "dangling")
        raise AssertionError

    message = f"tiny: cannot read {tmp_path / 'dangling'}: No such file or directory"
    assert refusal(lambda: packed("tiny", tmp_path, SHAPE, find, "")) == message


def test_what_was_packed_in_a_layout_before_is_packed_anew_and_said(tmp_path, capsys):
    first = Source(tmp_path).open(tmp_path)
    stamp = read_json(tmp_path / "stamp.json")
    write_json(tmp_path / "stamp.json", stamp | {"layout": packing.LAYOUT - 1})
    (tmp_path / "train.npy").write_bytes(b"in another order")
    capsys.readouterr()
    source = Source(tmp_path)
    again = source.open(tmp_path)
    (line,) = capsys.readouterr().err.splitlines()
    assert "packing" in line and line.endswith("; it was packed in an older layout")
    assert again.checksum == first.checksum and set(source.read) == set(NAMES)
    check(again)
    Source(tmp_path).open(tmp_path)
    assert not capsys.readouterr().err and not (tmp_path / "progress.json").exists()
