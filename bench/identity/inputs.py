"""What a run reads: the data files, weights and caches that are opened for it, noted with size, time and SHA-256.

A file whose size and time are those of the record counts as unchanged; one that was touched is read once, and what
was found is remembered. A file that is not there any more says nothing: data may have moved.
"""

import hashlib
import os
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

from bench.records.seal import read_json, write_json

SYSTEM = ("/proc", "/sys", "/dev", "/etc", "/usr", "/lib", "/bin", "/run", "/var/lib")
CODE = (".py", ".pyc", ".so", ".pth.lock", ".lock", ".partial", ".ttf", ".h", ".cpp", ".json.tmp")
METADATA = (".egg-info", ".dist-info")  # of installed packages, which is read for their entry points
REMEMBERED = ".inputs.json"

_listeners: dict[int, set[str]] = {}  # by identity: two may hold the same files
_hooked = False
_sums: dict[tuple[object, ...], str] = {}


@contextmanager
def noted(into: set[str]) -> Iterator[None]:
    """Note the files that this process opens for reading."""
    global _hooked
    if not _hooked:
        sys.addaudithook(_hear)
        _hooked = True
    _listeners[id(into)] = into
    try:
        yield
    finally:
        _listeners.pop(id(into), None)


@contextmanager
def unnoted() -> Iterator[None]:
    """Note nothing meanwhile: what is opened is vouched for by another file that is noted."""
    before = dict(_listeners)
    _listeners.clear()
    try:
        yield
    finally:
        _listeners.update(before)


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _listeners:
        return
    path, mode, flags = arguments
    if not isinstance(path, (str, bytes)) or (
        isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    ):
        return
    if isinstance(mode, str) and set(mode) & set("wax+"):
        return
    for listener in list(_listeners.values()):
        listener.add(os.path.abspath(os.fsdecode(path)))


def described(opened: Iterable[str], without: Iterable[Path] = ()) -> dict[str, dict[str, Any]]:
    """Of every data file that was opened, but in the folders `without`, its size in bytes, time in ns and SHA-256."""
    return {path: {**_stamp(path), "sha256": sha256(path)} for path in _data(opened, without)}


def of_open(file: BufferedReader) -> dict[str, Any]:
    """The same of a file that is open at its beginning, as its reader finds it; it is at its beginning again then."""
    stat = os.fstat(file.fileno())
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    return {"size": stat.st_size, "mtime": stat.st_mtime_ns, "sha256": digest}


def stamps(opened: Iterable[str]) -> dict[str, dict[str, int]]:
    """Size in bytes and time of change in ns of every data file among those that were opened."""
    return {path: _stamp(path) for path in _data(opened)}


def _data(opened: Iterable[str], without: Iterable[Path] = ()) -> list[str]:
    """The files that are data: no code, no cache, nothing of the system or of Python."""
    home = Path(__file__).parents[2]
    python = (sys.prefix, sys.base_prefix, sysconfig.get_paths()["stdlib"])
    own = (home / "bench", home / "baselines", home / ".git", Path.home() / ".cache")
    compiled = os.path.join(tempfile.gettempdir(), "torchinductor")
    folders = tuple(f"{str(folder).rstrip('/')}/" for folder in (*SYSTEM, *python, *own, *without))
    return [
        path
        for path in sorted(set(opened))
        if not path.startswith((*folders, compiled))
        and not os.path.basename(path).startswith(".")
        and not path.endswith(CODE)
        and not os.path.dirname(path).endswith(METADATA)
        and os.path.isfile(path)
    ]


def changed(recorded: Mapping[str, Any], root: Path | None = None) -> list[str]:
    """The files of a record that have another content now; `root` remembers what touched ones were found to be."""
    found = []
    for path, was in recorded.items():
        try:
            now = _stamp(path)
            if now == {key: was[key] for key in now}:
                continue
            if now["size"] != was["size"] or _looked_up(path, now, root) != was["sha256"]:
                found.append(path)
        except (OSError, KeyError, TypeError):
            continue
    return found


def _stamp(path: str) -> dict[str, int]:
    stat = os.stat(path)
    return {"size": stat.st_size, "mtime": stat.st_mtime_ns}


def sha256(path: str) -> str:
    """Of a file's content, which is read once as long as its size and time stay."""
    key = path, *_stamp(path).values()
    if key not in _sums:
        with open(path, "rb") as file:
            _sums[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _sums[key]


def _looked_up(path: str, stamp: Mapping[str, int], root: Path | None) -> str:
    """The file's SHA-256, as it is remembered beside the records or found now."""
    if root is None:
        return sha256(path)
    memory: dict[str, Any] = {}
    with suppress(OSError, ValueError, KeyError, TypeError):
        memory = read_json(root / REMEMBERED)
        known = memory[path]
        if known["size"] == stamp["size"] and known["mtime"] == stamp["mtime"]:
            return str(known["sha256"])
    found = sha256(path)
    with suppress(OSError):  # a folder that may only be read
        write_json(root / REMEMBERED, {**memory, path: {**stamp, "sha256": found}})
    return found
