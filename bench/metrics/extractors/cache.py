"""Files that are made once, however many processes want them, and that say whether they are what was written.

The first process makes a file under a lock while the others wait. A file is sealed with the digest of its content; one
that is damaged (a full disk, a killed copy, a bad sector) is set aside, said, and made again. A folder that is
read-only serves what it has; what it lacks is kept in the user's own cache folder.
"""

import ast
import os
import sys
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.errors import UsageError
from bench.identity.syntax import definition
from bench.records.disk import DENIED
from bench.records.files import sweep
from bench.records.locks import locked
from bench.records.seal import UNSEALED, check, write_sealed


def kept(folder: Path, name: str, make: Callable[[Path], object]) -> Path:
    """The file of that name in `folder`, or in the user's cache folder if that is read-only; make(path) makes it.

    UsageError if neither folder can be written to, NoSpace if the disk is full.
    """
    refusals = []
    for home in (folder, _own(folder)):
        try:
            return _kept(home / name, make)
        except OSError as error:
            if error.errno not in DENIED:
                raise
            refusals.append(f"{error.filename or home}: {error.strerror}")
    raise UsageError(f"{name} can be kept nowhere: {'; '.join(refusals)}")


def _kept(path: Path, make: Callable[[Path], object]) -> Path:
    if complaint(path) is None:
        return path
    with locked(path.with_suffix(".lock")):
        sweep(path.parent)
        if why := complaint(path):
            damaged = path.exists()
            aside = path.with_suffix(".corrupt")
            if damaged:
                path.replace(aside)
                print(f"{path}: {why}; kept as {aside.name} and made again", file=sys.stderr, flush=True)
            write_sealed(path, make)
    return path


def write_tensors(path: Path, tensors: Mapping[str, Any]) -> None:
    """torch.save whose bytes hang on the tensors alone; of a path it would put the name into the file."""
    import torch

    with path.open("wb") as file:
        torch.save(tensors, file)


def complaint(path: Path) -> str | None:
    """What is wrong with a file of torch.save, if anything is; one without a seal has its archive's checksums."""
    try:
        why = check(path)
        if why == UNSEALED:
            with zipfile.ZipFile(path) as archive:
                why = None if archive.testzip() is None else why
    except FileNotFoundError:
        return "it is not there"
    except (zipfile.BadZipFile, EOFError, NotImplementedError):
        return UNSEALED
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    return why


def _own(folder: Path) -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "flow-matching-bench" / folder.name


@cache
def code_of(*modules: str) -> str:
    """Eight hexadecimal digits of what modules do, whatever their comments, docstrings, hints and layout."""
    trees = []
    for name in modules:
        origin = getattr(sys.modules.get(name), "__file__", None) or getattr(find_spec(name), "origin", None)
        trees.append(ast.parse(Path(origin).read_text(encoding="utf-8") if origin else name))
    return definition(trees).digest[:8]
