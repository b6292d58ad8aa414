"""What source a run reaches: definitions of the project's packages and of a plugin's folder, from its roots on.

Names lead from a definition to others, through imports too. A member of a class is reached if code that is reached
says its name after a dot; special methods, and all members of a class with a foreign base such as nn.Module, are
reached with their class. Too much may be reached; nothing that runs is left out but what is looked up by a computed
name.
"""

import hashlib
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import PathFinder
from pathlib import Path

from bench.definitions import BODY, Definition, Module, read

PROJECT = Path(__file__).parents[1]
PACKAGES = ("bench", "baselines")
OWN_BASES = {"ABC", "object", "Protocol", "Generic", "BaseModel"}  # which call no members by themselves

Place = tuple[Path, str]
_modules: dict[Path, tuple[tuple[int, int], Module]] = {}
_leads: dict[Place, "_Leads"] = {}
_whole: dict[Place, bool] = {}
_frozen: dict[Path, bytes] = {}
_seen: set[str] = set()  # modules that were looked at
_PACKAGED = {"site-packages", "dist-packages"}
edition = 0  # grows when a file that was read has changed


@dataclass(frozen=True)
class Reached:
    """All definitions that are reached, and the names of what they use of foreign packages."""

    definitions: dict[Place, Definition]
    foreign: frozenset[str]

    @property
    def digest(self) -> str:
        """Of names and contents; where a definition stands is not in it."""
        parts = {f"{name} {found.digest}" for (_, name), found in self.definitions.items()}
        return digest([*parts, *self.foreign])[:16]

    def parts(self) -> dict[str, str]:
        """Digests by place: of a module of `bench` as a whole, of anything else by definition."""
        found: dict[str, list[str]] = defaultdict(list)
        for (path, name), definition in self.definitions.items():
            where = label(path)
            found[where if where.startswith("bench/") else f"{where}: {name}"].append(f"{name} {definition.digest}")
        return {where: digest(parts)[:8] for where, parts in sorted(found.items())}

    def says(self, text: str) -> bool:
        return any(text in found.texts for found in self.definitions.values())


def digest(parts: Iterable[str]) -> str:
    """SHA-256 of texts, in whatever order."""
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()


@lru_cache(maxsize=4096)
def label(path: Path) -> str:
    """How a file is named: from the project's folder on, or by its own name."""
    return path.relative_to(PROJECT).as_posix() if is_own(path) else path.name


@lru_cache(maxsize=4096)
def is_own(path: Path) -> bool:
    """Whether a file belongs to the project's packages."""
    return any(path.is_relative_to(PROJECT / package) for package in PACKAGES)


def freeze() -> None:
    """Keep the text of everything that is imported as it is now: what this process runs, whatever is edited later."""
    new = set(sys.modules) - _seen
    _seen.update(new)
    named = (getattr(sys.modules.get(name), "__file__", None) or "" for name in new)
    files = {
        Path(file).resolve() for file in named if file.endswith(".py") and not _PACKAGED.intersection(Path(file).parts)
    }
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


def registered(folder: Path, name: str) -> list[Place]:
    """Where the package in `folder` registers `name`: by a decorator, or else in statements that say the name."""
    modules = [module(path) for path in sorted(folder.glob("*.py"))]
    if found := [(m.path, n) for m in modules for n in m.registered.get(name, ())]:
        return found
    return [(m.path, BODY) for m in modules if BODY in m.definitions and name in m.definitions[BODY].texts]


def defined(entry: object, name: str) -> list[Place]:
    """Where an object that is registered as `name` stands: its definition, or all of its module if it has none."""
    file = getattr(sys.modules.get(getattr(entry, "__module__", "")), "__file__", None)
    if not file or not file.endswith(".py"):
        return []
    there = module(Path(file).resolve())
    names = there.registered.get(name) or [getattr(entry, "__qualname__", "")]
    return [(there.path, n) for n in (names if all(n in there.definitions for n in names) else there.definitions)]


def refresh() -> None:
    """Look again at the files that were read, unless the process keeps to what it has imported."""
    global edition
    _in.cache_clear()
    for path, (stamp, _) in [] if _frozen else list(_modules.items()):
        try:
            stat = path.stat()
            same = stamp == (stat.st_mtime_ns, stat.st_size)
        except OSError:
            same = False
        if not same:
            edition += 1
            forget(path)


def forget(path: Path) -> None:
    """Read a file again when it is next asked for, and follow all names anew."""
    _modules.pop(path, None)
    _leads.clear()
    _whole.clear()
    _in.cache_clear()


def reach(roots: Iterable[Place], left_out: Collection[str] = (), named: Collection[str] = ()) -> Reached:
    """Everything that the roots lead to.

    Args:
        roots: files and names in them; "Class.member" leads to its class too.
        left_out: labels of what is not entered: a file, a folder with a slash at its end, or "file: name". Roots are.
        named: names of members that count as said.
    """
    return _Walk(left_out, named).run(roots)


class _Walk:
    def __init__(self, left_out: Collection[str], named: Collection[str]) -> None:
        self.left_out = {text for text in left_out if not text.endswith("/")}
        self.folders = tuple(text for text in left_out if text.endswith("/"))
        self.found: dict[Place, Definition] = {}
        self.foreign: set[str] = set()
        self.said: set[str] = set(named)
        self.waiting: dict[str, list[Place]] = defaultdict(list)  # members whose name nobody has said yet
        self.roots: set[Place] = set()
        self.todo: list[Place] = []

    def run(self, roots: Iterable[Place]) -> Reached:
        self.roots = set(roots)
        self.todo = list(self.roots)
        while self.todo:
            self._enter(*self.todo.pop())
        return Reached(self.found, frozenset(self.foreign))

    def _enter(self, path: Path, name: str) -> None:
        if (path, name) in self.found or ((path, name) not in self.roots and self._is_left_out(path, name)):
            return
        there = module(path)
        definition = there.definitions.get(name)
        if definition is None:
            return
        self.found[path, name] = definition
        if BODY in there.definitions:
            self.todo.append((path, BODY))
        owner, _, _ = name.partition(".")
        if owner != name:
            self.todo.append((path, owner))
        elif name in there.members:
            self._class(there, name)
        if definition.dynamic:
            self.todo += [(path, f"{owner}.{member}") for member in there.members.get(owner, ())]
        if (path, name) not in _leads:
            _leads[path, name] = _Leads.of(there, owner, definition)
        leads = _leads[path, name]
        self.todo += leads.places
        self.foreign |= leads.foreign
        for attribute in leads.said - self.said:
            self._say(attribute)

    def _class(self, there: Module, name: str) -> None:
        whole = _is_whole(there, name)
        for member, counts in there.members[name].items():
            place = there.path, f"{name}.{member}"
            if whole or counts or member in self.said:
                self.todo.append(place)
            else:
                self.waiting[member].append(place)

    def _say(self, attribute: str) -> None:
        self.said.add(attribute)
        self.todo += self.waiting.pop(attribute, ())

    def _is_left_out(self, path: Path, name: str) -> bool:
        if not is_own(path):
            return False
        where = label(path)
        return where in self.left_out or f"{where}: {name}" in self.left_out or where.startswith(self.folders)


@dataclass
class _Leads:
    """Where a definition leads to: places, members' names that it says, and foreign names."""

    places: list[Place]
    said: set[str]
    foreign: set[str]

    @classmethod
    def of(cls, there: Module, owner: str, definition: Definition) -> "_Leads":
        leads = cls([], set(definition.attributes), set())
        imports = {**there.imports, **definition.imports}
        for chain in definition.chains:
            if chain[0] == "self" and len(chain) > 1 and chain[1] in there.members.get(owner, ()):
                leads.places.append((there.path, f"{owner}.{chain[1]}"))
            place, rest = _resolve(there, imports, chain)
            if isinstance(place, str):
                leads.foreign.add(place)
                continue
            if place and place[1] == "*":  # a module as a whole
                leads.places += [(place[0], name) for name in module(place[0]).definitions]
            elif place:
                leads.places.append(place)
            leads.said.update(rest)
        return leads


def _is_whole(there: Module, name: str) -> bool:
    """Whether a class may have its members called by a base that is not ours."""
    place = there.path, name
    if place not in _whole:
        _whole[place] = not all(_is_own_base(there, base) for base in there.bases[name])
    return _whole[place]


def _is_own_base(there: Module, chain: tuple[str, ...]) -> bool:
    """Whether a base class is ours, down to its own bases, or known to call nothing by itself."""
    if chain[-1] in OWN_BASES:
        return True
    place, _ = _resolve(there, there.imports, chain)
    if not isinstance(place, tuple) or place[1] not in module(place[0]).bases:
        return False
    base = module(place[0])
    return all(_is_own_base(base, further) for further in base.bases[place[1]])


def _resolve(
    there: Module, imports: dict[str, tuple[str, str, int]], chain: tuple[str, ...]
) -> tuple[Place | str | None, tuple[str, ...]]:
    """What a chain of names leads to: a place, the full name of something foreign, or None for a local name or a
    builtin; and the names after it."""
    first, rest = chain[0], chain[1:]
    if first in there.definitions and first not in imports:
        return (there.path, first), rest
    if first in imports:
        dotted, attribute, dots = imports[first]
        return _through(there.path, dotted, (attribute, *rest) if attribute else rest, dots)
    for dotted, dots in there.stars:
        path = _file(there.path, dotted, dots)
        if path and first in module(path).definitions:
            return (path, first), rest
    return None, rest


def _through(
    importer: Path, dotted: str, names: tuple[str, ...], dots: int
) -> tuple[Place | str | None, tuple[str, ...]]:
    """Follow names from a module, through submodules and what these import from elsewhere."""
    path = _file(importer, dotted, dots)
    if path is None:
        if dots:
            return None, names
        # of a foreign name the first three parts tell what it is: torch.nn.functional
        return ".".join([dotted, *names][:3]), ()
    if not names:
        return (path, "*"), ()
    there = module(path)
    if names[0] in there.definitions or names[0] in there.imports or there.stars:
        place, rest = _resolve(there, there.imports, names)
        if place is not None:
            return place, rest
    if path.name == "__init__.py":
        below = _in(path.parent, names[0])
        if below:
            return _through(below, "", names[1:], -1)
    return None, names[1:]


def _file(importer: Path, dotted: str, dots: int) -> Path | None:
    """The file of a module of the project or of a plugin; None for a foreign one."""
    if dots == -1:
        return importer
    if dots:
        folder = importer.parents[dots - 1]
        return _in(folder, dotted) if dotted else _in(folder, "__init__")
    top = dotted.partition(".")[0]
    if top in PACKAGES:
        return _in(PROJECT, dotted)
    if is_own(importer) or top in sys.stdlib_module_names:
        return None
    loaded = getattr(sys.modules.get(dotted), "__file__", None)
    if loaded and loaded.endswith(".py"):
        path = Path(loaded).resolve()
        return None if _is_foreign(path, importer) else path
    if path_ := _in(importer.parent, dotted):
        return path_
    spec = PathFinder.find_spec(top)
    if spec and spec.origin and spec.origin.endswith(".py"):
        origin = Path(spec.origin).resolve()
        home = origin.parent.parent if origin.name == "__init__.py" else origin.parent
        found = _in(home, dotted)
        return None if found is None or _is_foreign(found, importer) else found
    return None


@lru_cache(maxsize=4096)
def _in(folder: Path, dotted: str) -> Path | None:
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
