"""Files that are whole or absent: written beside their name, then renamed over it."""

import functools
import os
import re
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bench.config.names import safe_name
from bench.records.disk import shortage

ABANDONED = 86400.0  # seconds after which a temporary file of another machine is taken for one of a killed process
# .NAME.HOST.PID.TOKEN.part and the suffix of NAME, by which libraries choose a format
_TEMPORARY = re.compile(r"\..+\.(?P<host>[^.]+)\.(?P<pid>[0-9]+)\.[0-9a-f]{8}\.part(\.[^.]*)?")


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary path in the same folder, then rename it to `path`; no trace if it raises.

    The file has the permissions that the umask leaves, so that a folder may be shared. NoSpace if the disk is full.
    """
    temporary = path.parent / f".{path.name}.{_host()}.{os.getpid()}.{secrets.token_hex(4)}.part{path.suffix}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except Exception as error:
        if complaint := shortage(error, path):
            raise complaint from error
        raise
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Write text atomically."""
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes atomically."""
    write_atomic(path, lambda temporary: temporary.write_bytes(data))


def sweep(folder: Path) -> list[Path]:
    """Remove what killed processes left half written in a folder: of this machine's at once, of others' after a day.

    Nothing that lives is touched, and what cannot be removed is left.
    """
    swept = []
    for path in folder.glob(".*.part*"):
        parsed = _TEMPORARY.fullmatch(path.name)
        with suppress(OSError):
            if parsed and (_dead(parsed) or time.time() - path.stat().st_mtime > ABANDONED):
                path.unlink()
                swept.append(path)
    return swept


def _dead(parsed: "re.Match[str]") -> bool:
    if parsed["host"] != _host():
        return False
    try:
        os.kill(int(parsed["pid"]), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # another user's process
        return False
    return False


@functools.cache
def _host() -> str:
    """Where process ids mean what they mean here: this machine, and in it this container."""
    name = safe_name(socket.gethostname().partition(".")[0])[:40]
    with suppress(OSError):
        return f"{name}-{os.stat('/proc/self/ns/pid').st_ino}"
    return name
