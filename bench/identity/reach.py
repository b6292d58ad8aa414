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
    roots, skipped = set(roots), set(left_out)
    folders = tuple(text for text in left_out if text.endswith("/"))
    todo, found, foreign, named = list(roots), dict[Place, Definition](), set[str](), set[str]()
    waiting: dict[str, list[Place]] = defaultdict(list)  # members whose name nobody has said yet
    while todo:
        place = path, name = todo.pop()
        home, where = module(path), label(path)
        if place in found or name not in home.definitions:
            continue
        if place not in roots and is_own(path) and ({where, f"{where}: {name}"} & skipped or where.startswith(folders)):
            continue
        found[place] = home.definitions[name]
        owner = name.partition(".")[0]
        todo += [(path, BODY), (path, owner)]
        whole = name in home.bases and _is_whole(path, name, source.edition)
        for member, counts in home.members.get(name, {}).items():
            if whole or counts or member in named:
                todo.append((path, f"{name}.{member}"))
            else:
                waiting[member].append((path, f"{name}.{member}"))
        if found[place].dynamic:
            todo += [(path, f"{owner}.{member}") for member in home.members.get(owner, ())]
        places, names, others = _leads(path, name, source.edition)
        todo += places
        foreign |= others
        for attribute in names - named:
            todo += waiting.pop(attribute, ())
        named |= names
    return Reached(found, frozenset(foreign), frozenset(named))


@lru_cache(maxsize=16384)
def _leads(path: Path, name: str, edition: int) -> tuple[set[Place], set[str], set[str]]:
    """Where a definition leads to: places, members' names that it says after a dot, and foreign names."""
    home = module(path)
    definition = home.definitions[name]
    places, named, foreign = set[Place](), set(definition.attributes), set[str]()
    for chain in definition.chains:
        place, rest = _resolve(path, home.imports | definition.imports, chain)
        if isinstance(place, str):
            foreign.add(place)
            continue
        named.update(rest)
        if place and place[1] == WHOLE:
            places |= {(place[0], defined) for defined in module(place[0]).definitions}
        elif place:
            places.add(place)
    return places, named, foreign


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
