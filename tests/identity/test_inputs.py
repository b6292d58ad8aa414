"""The files that a run reads: noted as they are opened, known again, looked at once where they were touched."""

import hashlib
import os
from pathlib import Path

import numpy
import pytest
import torch

from bench.identity import inputs
from bench.identity.inputs import changed, described, noted, unnoted


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.npy"
    numpy.save(path, numpy.arange(10))
    return path


def test_what_is_opened_for_reading_is_noted(tmp_path: Path, data: Path) -> None:
    opened: set[str] = set()
    with noted(opened):
        numpy.load(data)
        numpy.fromfile(data, dtype="u1")
        (tmp_path / "written").write_text("new")
        with unnoted():
            (tmp_path / "written").read_text()
    (tmp_path / "written").read_text()
    assert {Path(p) for p in opened if p.startswith(str(tmp_path))} == {data}


@pytest.mark.parametrize("mapped", [False, True])
def test_weights_that_are_loaded_are_noted(tmp_path: Path, mapped: bool) -> None:
    path = tmp_path / "teacher.pt"
    torch.save({"weight": torch.ones(3)}, path)
    opened: set[str] = set()
    with noted(opened):
        torch.load(path, mmap=mapped, weights_only=True)
    assert str(path) in described(opened)


def test_two_who_listen_hear_the_same(data: Path) -> None:
    outer: set[str] = set()
    inner: set[str] = set()
    with noted(outer), noted(inner):
        numpy.load(data)
    assert str(data) in outer & inner


def test_a_file_is_described_by_its_content_and_no_code_is(tmp_path: Path, data: Path) -> None:
    code, hidden = tmp_path / "code.py", tmp_path / ".lock"
    code.write_text("x = 1")
    hidden.write_text("")
    of_results = tmp_path / "results" / "log.txt"
    of_results.parent.mkdir()
    of_results.write_text("")
    of_a_package = tmp_path / "flow.egg-info" / "entry_points.txt"
    of_a_package.parent.mkdir()
    of_a_package.write_text("")
    paths = [
        str(data),
        str(of_a_package),
        str(code),
        str(hidden),
        str(of_results),
        numpy.__file__,
        "/etc/hostname",
        str(tmp_path / "gone"),
    ]
    found = described(paths, [tmp_path / "results"])
    assert set(found) == {str(data)}
    assert found[str(data)]["size"] == data.stat().st_size and len(found[str(data)]["sha256"]) == 64


def test_other_content_is_a_change_and_another_time_is_none(data: Path) -> None:
    was = described([str(data)])
    assert changed(was) == []
    os.utime(data, ns=(1, 1))
    assert changed(was) == []
    numpy.save(data, numpy.arange(10) + 1)  # of the same size
    assert changed(was) == [str(data)]
    data.unlink()
    assert changed(was) == []  # it may lie elsewhere now


def test_a_touched_file_is_looked_at_once(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    was, root = described([str(data)]), tmp_path / "results"
    os.utime(data, ns=(1, 1))
    looks: list[str] = []
    sha256 = inputs.sha256
    monkeypatch.setattr(inputs, "sha256", lambda path: looks.append(path) or sha256(path))
    assert changed(was, root) == [] and changed(was, root) == []
    assert looks == [str(data)]


@pytest.mark.parametrize("damage", ["", "[]", '{"a": 3}', "\udcff"])
def test_what_is_remembered_may_be_damaged(data: Path, tmp_path: Path, damage: str) -> None:
    was = described([str(data)])
    os.utime(data, ns=(1, 1))
    (tmp_path / inputs.REMEMBERED).write_text(damage, encoding="utf-8", errors="surrogateescape")
    assert changed(was, tmp_path) == [] and changed({"x": {}, "y": {"size": 1}}, tmp_path) == []


def test_a_file_that_a_run_names_has_a_hash_wherever_it_lies(tmp_path: Path) -> None:
    hidden = tmp_path / ".cache" / ".teacher.so"
    hidden.parent.mkdir()
    hidden.write_bytes(b"weights")
    assert described([str(hidden)]) == {}
    with hidden.open("rb") as file:
        assert inputs.of_open(file)["sha256"] == hashlib.sha256(b"weights").hexdigest() and file.read() == b"weights"
