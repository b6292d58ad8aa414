"""Sealed files: every change of a bit is noticed, and numpy and torch read them as any other file."""

import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.records import seal

VALUE = {"about": "é and \udcff", "n": 20, "values": [1e-05, math.nan, 1.5e300], "settings": {"solver": "dopri5"}}


def read_json(path: Path) -> str | None:
    try:
        seal.read_json(path)
    except ValueError as error:
        return str(error)
    return None


def write_arrays(path: Path) -> None:
    seal.write_arrays(path, {"x": np.arange(6.0).reshape(2, 3), "extent": np.float64(4)})


KINDS: dict[str, tuple[Callable[[Path], None], Callable[[Path], str | None]]] = {
    "json": (lambda path: seal.write_json(path, VALUE), read_json),
    "arrays": (write_arrays, seal.check),
    "text": (lambda path: seal.write_sealed(path, lambda p: p.write_bytes(b"content")), seal.check),
    "empty": (lambda path: seal.write_sealed(path, lambda p: p.write_bytes(b"")), seal.check),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_flipped_bit_and_every_cut_is_noticed(tmp_path: Path, kind: str) -> None:
    write, complaint = KINDS[kind]
    path = tmp_path / "file"
    write(path)
    assert complaint(path) is None
    whole = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for position, byte in enumerate(whole):
            for bit in range(8):
                os.pwrite(file.fileno(), bytes([byte ^ 1 << bit]), position)
                assert complaint(path), (position, bit)
            os.pwrite(file.fileno(), bytes([byte]), position)
    assert complaint(path) is None
    for length in reversed(range(len(whole))):
        os.truncate(path, length)
        assert complaint(path), length
    path.write_bytes(whole + b"\n")
    assert complaint(path)


def test_json_comes_back_without_its_digest_and_is_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    seal.write_json(path, VALUE)
    back = seal.read_json(path)
    assert back["about"] == "é and ?" and back["n"] == 20 and math.isnan(back["values"][1])
    assert list(back) == list(VALUE)
    assert "é" in path.read_text(encoding="utf-8")
    seal.write_json(path, {"digest": "of before", **back})
    assert seal.read_json(path)["settings"] == VALUE["settings"]


@pytest.mark.parametrize("text", ["", "[1, 2]", "null", "{}", '{"n": 1}', "[" * 100_000, '{"n": ' + "1" * 5000 + "}"])
def test_what_is_not_sealed_json_is_a_value_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError):
        seal.read_json(tmp_path / "a.json")


def test_arrays_come_back(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.npz")
    back = seal.read_arrays(tmp_path / "a.npz")
    assert back["x"].tolist() == [[0, 1, 2], [3, 4, 5]] and back["extent"] == 4
    with np.load(tmp_path / "a.npz") as file:
        assert file.files == ["x", "extent"]
    np.savez(tmp_path / "b.npz", x=1)
    with pytest.raises(ValueError, match="no digest"):
        seal.read_arrays(tmp_path / "b.npz")


def test_torch_and_mapped_arrays_are_read_as_if_there_were_no_seal(tmp_path: Path) -> None:
    tensors = {"x": torch.arange(10_000.0), "step": 3}
    seal.write_sealed(tmp_path / "a.pt", lambda path: torch.save(tensors, path))
    assert seal.check(tmp_path / "a.pt") is None
    for mmap in (False, True):
        back = torch.load(tmp_path / "a.pt", mmap=mmap, weights_only=True)
        assert torch.equal(back["x"], tensors["x"]) and back["step"] == 3

    def save(path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, np.arange(12).reshape(3, 4))

    seal.write_sealed(tmp_path / "a.npy", save)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert mapped.shape == (3, 4) and mapped[2, 3] == 11
