"""What source a run reaches: definitions of the project's packages and of a plugin's folder, from its roots on.

Names lead from a definition to others, through imports too. A member of a class is reached if code that is reached
says its name after a dot; special methods, and all members of a class with a foreign base such as nn.Module, are
reached with their class. Too much may be reached; nothing that runs is left out but what is looked up by a computed
name.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bench.identity import source
from bench.identity.definitions import BODY, Definition, Module
from bench.identity.source import Place, digest, file_of, in_folder, is_own, label, module

OWN_BASES = {"ABC", "object", "Protocol", "Generic", "BaseModel"}  # which call no members by themselves


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


def reach(roots: Iterable[Place], left_out: Collection[str] = ()) -> Reached:
    """Everything that the roots lead to.

    Args:
        roots: files and names in them; "Class.member" leads to its class too.
        left_out: labels of what is not entered: a file, a folder with a slash at its end, or "file: name". Roots are.
    """
    return _Walk(left_out).run(roots)


class _Walk:
    def __init__(self, left_out: Collection[str]) -> None:
        self.left_out = {text for text in left_out if not text.endswith("/")}
        self.folders = tuple(text for text in left_out if text.endswith("/"))
        self.found: dict[Place, Definition] = {}
        self.foreign: set[str] = set()
        self.said: set[str] = set()
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
        leads = _leads(path, name, source.edition)
        self.todo += leads.places
        self.foreign |= leads.foreign
        for attribute in leads.said - self.said:
            self._say(attribute)

    def _class(self, there: Module, name: str) -> None:
        whole = _is_whole(there.path, name, source.edition)
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


@lru_cache(maxsize=16384)
def _leads(path: Path, name: str, edition: int) -> _Leads:
    there = module(path)
    definition, owner = there.definitions[name], name.partition(".")[0]
    leads = _Leads([], set(definition.attributes), set())
    imports = {**there.imports, **definition.imports}
    for chain in definition.chains:
        if chain[0] == "self" and len(chain) > 1 and chain[1] in there.members.get(owner, ()):
            leads.places.append((path, f"{owner}.{chain[1]}"))
        place, rest = _resolve(there, imports, chain)
        if isinstance(place, str):
            leads.foreign.add(place)
            continue
        if place and place[1] == "*":  # a module as a whole
            leads.places += [(place[0], defined) for defined in module(place[0]).definitions]
        elif place:
            leads.places.append(place)
        leads.said.update(rest)
    return leads


@lru_cache(maxsize=16384)
def _is_whole(path: Path, name: str, edition: int) -> bool:
    """Whether a class may have its members called by a base that is not ours."""
    there = module(path)
    return not all(_is_own_base(there, base) for base in there.bases[name])


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
        path = file_of(there.path, dotted, dots)
        if path and first in module(path).definitions:
            return (path, first), rest
    return None, rest


def _through(
    importer: Path, dotted: str, names: tuple[str, ...], dots: int
) -> tuple[Place | str | None, tuple[str, ...]]:
    """Follow names from a module, through submodules and what these import from elsewhere."""
    path = file_of(importer, dotted, dots)
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
        below = in_folder(path.parent, names[0])
        if below:
            return _through(below, "", names[1:], -1)
    return None, names[1:]
