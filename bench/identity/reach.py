"""What source a run reaches: definitions of the project's packages and of a plugin's folder, from its roots on.

Names lead from a definition to others, through imports too. A member of a class is reached if code that is reached
says its name after a dot; special methods, and all members of a class with a foreign base such as nn.Module, are
reached with their class. Too much may be reached; nothing that runs is left out but what is looked up by a computed
name.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from bench.identity import source
from bench.identity.definitions import BODY, Definition
from bench.identity.source import Place, digest, file_of, in_folder, is_own, label, module
from bench.identity.syntax import Imports, Names

OWN_BASES = {"ABC", "object", "Protocol", "Generic", "BaseModel"}  # which call no members by themselves
WHOLE = "*"  # all that a module defines


@dataclass(frozen=True)
class Reached:
    """All definitions that are reached, the names of what they use of foreign packages, and names after a dot."""

    definitions: dict[Place, Definition]
    foreign: frozenset[str]
    named: frozenset[str]

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
    """Everything that the roots lead to; "Class.member" leads to its class too.

    `left_out` are labels of what only roots may be: a file, a folder with a slash at its end, or "file: name".
    """
    known = _known(source.edition)
    begun = {node for place in roots if (node := known.at(place))}
    left = _left_out(tuple(left_out), source.edition)
    todo, found, foreign, named = list(begun), dict[_Node, None](), set[str](), set[str]()
    waiting: dict[str, list[_Node]] = defaultdict(list)  # members whose name nobody has said yet
    while todo:
        node = todo.pop()
        if node in found or (node not in begun and left[node]):
            continue
        found[node] = None
        todo += node.leads
        for member, of_class in node.members:
            if member in named:
                todo.append(of_class)
            else:
                waiting[member].append(of_class)
        foreign |= node.foreign
        for attribute in node.named - named:
            todo += waiting.pop(attribute, ())
        named |= node.named
    return Reached({node.place: node.definition for node in found}, frozenset(foreign), frozenset(named))


@dataclass(eq=False)
class _Node:
    """A definition with what it leads to, worked out when it is first asked for; equal to itself alone."""

    place: Place
    definition: Definition
    known: "_Nodes"

    @cached_property
    def leads(self) -> "list[_Node]":
        """Its module's statements, its class, members that count although nobody names them, and what it names."""
        path, name = self.place
        home, owner = module(path), name.partition(".")[0]
        whole = name in home.bases and _is_whole(path, name, source.edition)
        places = [(path, BODY), (path, owner)]
        places += [(path, f"{name}.{m}") for m, counts in home.members.get(name, {}).items() if whole or counts]
        if self.definition.dynamic:
            places += [(path, f"{owner}.{member}") for member in home.members.get(owner, ())]
        return [node for place in (*places, *self._said[0]) if (node := self.known.at(place))]

    @cached_property
    def members(self) -> "list[tuple[str, _Node]]":
        """The other members, which are reached once their name is said after a dot."""
        path, name = self.place
        members = ((member, self.known.at((path, f"{name}.{member}"))) for member in module(path).members.get(name, ()))
        led = set(self.leads)
        return [(member, node) for member, node in members if node and node not in led]

    @property
    def named(self) -> set[str]:
        """Names that it says after a dot."""
        return self._said[1]

    @property
    def foreign(self) -> set[str]:
        return self._said[2]

    @cached_property
    def _said(self) -> tuple[set[Place], set[str], set[str]]:
        path, _ = self.place
        home = module(path)
        places, named, foreign = set[Place](), set(self.definition.attributes), set[str]()
        for chain in self.definition.chains:
            place, rest = _resolve(path, home.imports | self.definition.imports, chain)
            if isinstance(place, str):
                foreign.add(place)
                continue
            named.update(rest)
            if place and place[1] == WHOLE:
                places |= {(place[0], defined) for defined in module(place[0]).definitions}
            elif place:
                places.add(place)
        return places, named, foreign


class _Nodes:
    """The definitions of one edition of the source."""

    def __init__(self) -> None:
        self._at: dict[Place, _Node] = {}

    def at(self, place: Place) -> _Node | None:
        """The definition at a place, if there is one."""
        if place not in self._at and (found := module(place[0]).definitions.get(place[1])):
            self._at[place] = _Node(place, found, self)
        return self._at.get(place)


@lru_cache(maxsize=1)
def _known(edition: int) -> _Nodes:
    return _Nodes()


class _LeftOut(dict[_Node, bool]):
    """Whether a definition is one that only a root may be."""

    def __init__(self, labels: Iterable[str]) -> None:
        self._labels = set(labels)
        self._folders = tuple(text for text in self._labels if text.endswith("/"))

    def __missing__(self, node: _Node) -> bool:
        path, name = node.place
        where = label(path)
        self[node] = found = is_own(path) and bool(
            {where, f"{where}: {name}"} & self._labels or where.startswith(self._folders)
        )
        return found


@lru_cache(maxsize=64)
def _left_out(labels: tuple[str, ...], edition: int) -> _LeftOut:
    return _LeftOut(labels)


@lru_cache(maxsize=16384)
def _is_whole(path: Path, name: str, edition: int) -> bool:
    """Whether a class may have its members called by a base that is not ours, be it one of its bases' own."""
    home = module(path)
    for chain in home.bases[name]:
        if chain[-1] not in OWN_BASES:
            base, _ = _resolve(path, home.imports, chain)
            if not isinstance(base, tuple) or base[1] not in module(base[0]).bases or _is_whole(*base, edition):
                return True
    return False


def _resolve(path: Path, imports: Imports, names: Names) -> tuple[Place | str | None, Names]:
    """What a chain of names in a file leads to: a place, the full name of something foreign, or None for a local name
    or a builtin; and the names after it."""
    first, rest = names[0], names[1:]
    if first in imports:
        dotted, attribute, dots = imports[first]
        names = (attribute, *rest) if attribute else rest
        target = file_of(path, dotted, dots)
        if target:
            return _inside(target, names, {} if target == path else module(target).imports)
        # of a foreign name the first three parts tell what it is: torch.nn.functional
        return None if dots else ".".join([dotted, *names][:3]), names
    if first in module(path).definitions:
        return (path, first), rest
    for dotted, dots in module(path).stars:
        target = file_of(path, dotted, dots)
        if target and first in module(target).definitions:
            return (target, first), rest
    return None, rest


def _inside(path: Path, names: Names, imports: Imports) -> tuple[Place | str | None, Names]:
    """The same of names in a module that is imported, be they those of its submodules."""
    if not names:
        return (path, WHOLE), ()
    place, rest = _resolve(path, imports, names)
    below = in_folder(path.parent, names[0]) if place is None and path.name == "__init__.py" else None
    return _inside(below, names[1:], module(below).imports) if below else (place, rest)
