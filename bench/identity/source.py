"""The source files that runs may reach: those of the project's packages and of plugins, as this process runs them.

A file is read when it is first asked for, and again once `refresh` finds it changed. A process that runs what it has
imported freezes the texts: an edit while it runs is none of its own.
"""

import hashlib
import sys
import sysconfig
from collections.abc import Iterable
from functools import lru_cache
from importlib.machinery import PathFinder
from pathlib import Path

from bench.config.registry import home_of
from bench.identity.definitions import BODY, Definition, Module, read

PROJECT = Path(__file__).parents[2]
PACKAGES = ("bench", "baselines")

Place = tuple[Path, str]
_modules: dict[Path, tuple[tuple[int, int], Module]] = {}
_frozen: dict[Path, bytes] = {}
_seen: set[str] = set()  # modules that were looked at
_PACKAGED = {"site-packages", "dist-packages"}
edition = 0  # grows when a file that was read is to be read again


def digest(parts: Iterable[str]) -> str:
    """SHA-256 of texts, in whatever order."""
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()


@lru_cache(maxsize=4096)
def label(path: Path) -> str:
    """How a file is named: from the project's folder on, or by its own name."""
    return path.relative_to(PROJECT).as_posix() if is_own(path) else path.name


@lru_cache(maxsize=4096)
def is_own(path: Path) -> bool:
    return any(path.is_relative_to(PROJECT / package) for package in PACKAGES)


def freeze() -> None:
    """Keep the text of everything that is imported as it is now: what this process runs, whatever is edited later."""
    new = set(sys.modules) - _seen
    _seen.update(new)
    named = {Path(getattr(sys.modules.get(name), "__file__", None) or "") for name in new}
    files = {file.resolve() for file in named if file.suffix == ".py" and not _PACKAGED.intersection(file.parts)}
    own = {path for package in PACKAGES for path in (PROJECT / package).rglob("*.py")} if not _frozen else set()
    for path in own | {path for path in files if not _is_foreign(path)}:
        if path not in _frozen and path.is_file():
            _frozen[path] = path.read_bytes()


def keep_up() -> None:
    """Do the same for what was imported since, in a process that keeps to what it runs."""
    if _frozen:
        freeze()


def module(path: Path) -> Module:
    """What the file defines; nothing where it is not there, and its text as a whole where that is no Python."""
    if path not in _modules:
        try:
            stat = path.stat()
            text = _frozen[path] if path in _frozen else path.read_bytes()
        except OSError:
            return Module(path)
        try:
            found = read(path, text)
        except (SyntaxError, ValueError, RecursionError):
            found = Module(path, {BODY: Definition(hashlib.sha256(text).hexdigest()[:16])})
        _modules[path] = (stat.st_mtime_ns, stat.st_size), found
    return _modules[path][1]


def sha256(path: Path) -> str:
    """Of a file as it was read."""
    return hashlib.sha256(_frozen[path] if path in _frozen else path.read_bytes()).hexdigest()


@lru_cache(maxsize=4096)
def registered(package: str, name: str, edition: int) -> tuple[Place, ...]:
    modules = [module(path) for path in sorted(PROJECT.joinpath(*package.split(".")).glob("*.py"))]
    return tuple((m.path, n) for m in modules for n in m.registered.get(name, ()))


def defined(entry: object, name: str) -> tuple[Place, ...]:
    """Where an object that is registered as `name` stands: its definition, or all of its module if it has none."""
    file = getattr(sys.modules.get(home_of(entry)), "__file__", None)
    if not file or not file.endswith(".py"):
        return ()
    found = module(Path(file).resolve())
    names = found.registered.get(name) or [getattr(entry, "__qualname__", "")]
    return tuple((found.path, n) for n in (names if set(names) <= found.definitions.keys() else found.definitions))


def refresh() -> None:
    """Look again at the files that were read, unless the process keeps to what it has imported."""
    in_folder.cache_clear()
    for path, (stamp, _) in [] if _frozen else list(_modules.items()):
        try:
            stat = path.stat()
            same = stamp == (stat.st_mtime_ns, stat.st_size)
        except OSError:
            same = False
        if not same:
            forget(path)


def forget(path: Path) -> None:
    """Read a file again when it is next asked for."""
    global edition
    _modules.pop(path, None)
    in_folder.cache_clear()
    edition += 1


def file_of(importer: Path, dotted: str, dots: int) -> Path | None:
    """The file of a module that is imported; None for a foreign one, of Python or of an installed package."""
    if dots:
        folder = importer.parents[dots - 1]
        return in_folder(folder, dotted) if dotted else in_folder(folder, "__init__")
    top = dotted.partition(".")[0]
    if top in PACKAGES:
        return in_folder(PROJECT, dotted)
    if is_own(importer) or top in sys.stdlib_module_names:
        return None
    loaded, spec = getattr(sys.modules.get(dotted), "__file__", None), None
    found = Path(loaded).resolve() if loaded and loaded.endswith(".py") else in_folder(importer.parent, dotted)
    if not found and (spec := PathFinder.find_spec(top)) and spec.origin and spec.origin.endswith(".py"):
        origin = Path(spec.origin).resolve()
        found = in_folder(origin.parents[origin.name == "__init__.py"], dotted)
    return found if found and not _is_foreign(found, importer) else None


@lru_cache(maxsize=4096)
def in_folder(folder: Path, dotted: str) -> Path | None:
    place = folder.joinpath(*dotted.split("."))
    for path in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
        if path.is_file():
            return path.resolve()
    return None


def _is_foreign(path: Path, importer: Path | None = None) -> bool:
    """Whether a file belongs to Python or to an installed package, and not to that of `importer`."""
    if is_own(path):
        return False
    for folder in path.parents:
        if folder.name in _PACKAGED:
            inside = path.relative_to(folder).parts[0]
            return importer is None or not importer.is_relative_to(folder / inside)
    return path.is_relative_to(Path(sysconfig.get_paths()["stdlib"]).resolve())
