"""Files that say whether they are what was written: each carries the SHA-256 of its content, checked on reading.

A binary file ends in a line of its own ("sha256:" and 64 digits) after its content; archives and arrays of numpy and
torch, mapped ones too, are read as if it were not there. A JSON file begins with the field "digest", over all bytes
that follow it.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.records.files import write_atomic

if TYPE_CHECKING:
    import numpy as np

    Arrays = dict[str, np.ndarray[Any, Any]]

CHANGED = "its content is not what its digest says: it was damaged, or edited by hand"
UNSEALED = "it has no digest: it was cut short, or something else wrote it"
_END = re.compile(rb"\nsha256:([0-9a-f]{64})\n")
_LENGTH = 73  # bytes of _END
_HEAD = re.compile(rb'\{\n "digest": "([0-9a-f]{64})",\n')
_CHUNK = 1 << 20


def write_sealed(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary path in the same folder, seal what it wrote, then rename it to `path`."""

    def sealed(temporary: Path) -> None:
        write(temporary)
        seal(temporary)

    write_atomic(path, sealed)


def seal(path: Path) -> None:
    """Append the digest of a file's content to it."""
    digest = _digest(path, path.stat().st_size)
    with path.open("ab") as file:
        file.write(b"\nsha256:%s\n" % digest.encode())


def check(path: Path) -> str | None:
    """What is wrong with a sealed file, or None; OSError if it cannot be read at all."""
    content = path.stat().st_size - _LENGTH
    if content < 0:
        return UNSEALED
    with path.open("rb") as file:
        file.seek(content)
        end = _END.fullmatch(file.read())
    if not end:
        return UNSEALED
    return None if _digest(path, content) == end[1].decode() else CHANGED


def _digest(path: Path, length: int) -> str:
    """SHA-256 of the first `length` bytes, a piece at a time: a checkpoint may be larger than memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while length > 0 and (piece := file.read(min(_CHUNK, length))):
            digest.update(piece)
            length -= len(piece)
    return digest.hexdigest()


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a table as sealed JSON; text that UTF-8 cannot hold (lone surrogates) is written as "?"."""
    write_atomic(path, lambda temporary: temporary.write_bytes(json_bytes(value)))


def json_bytes(value: Mapping[str, Any]) -> bytes:
    """A table that is not empty as sealed JSON: the bytes that `write_json` writes."""
    text = json.dumps({key: v for key, v in value.items() if key != "digest"}, indent=1, ensure_ascii=False)
    body = text.removeprefix("{\n").encode("utf-8", "replace") + b"\n"
    return b'{\n "digest": "%s",\n' % hashlib.sha256(body).hexdigest().encode() + body


def check_json(data: bytes) -> str | None:
    """What is wrong with the bytes of sealed JSON, or None."""
    head = _HEAD.match(data)
    if not head:
        return UNSEALED
    return None if hashlib.sha256(memoryview(data)[head.end() :]).hexdigest() == head[1].decode() else CHANGED


def read_json(path: Path) -> dict[str, Any]:
    """The table in a sealed JSON file, without its digest; ValueError if it is no table, or not what was written."""
    data = path.read_bytes()
    try:
        value = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("its content is no table")
    if complaint := check_json(data):
        raise ValueError(complaint)
    del value["digest"]
    return value


def write_arrays(path: Path, arrays: "Mapping[str, Any]", compressed: bool = True) -> None:
    """Write arrays by name as a sealed .npz."""
    import numpy as np

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            (np.savez_compressed if compressed else np.savez)(file, **arrays)

    write_sealed(path, write)


def read_arrays(path: Path) -> "Arrays":
    """All arrays of a sealed .npz; ValueError if it is not what was written."""
    import numpy as np

    if complaint := check(path):
        raise ValueError(complaint)
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}
