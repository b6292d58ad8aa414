"""What a module of Python defines, read from its text.

A definition is a function, a constant, or a class without its members; a member is one of its own, "Class.name".
bench/identity/syntax.py reads one.
"""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.identity.syntax import Definition, chain_of, decorators, definition, imported, is_words, last

PLAIN = {
    *("property", "cached_property", "staticmethod", "classmethod", "abstractmethod", "lru_cache", "cache"),
    *("model_validator", "field_validator"),
}  # decorators whose method runs only where somebody names it, or before there is a run
BODY = "<module>"  # the statements of a module that define nothing

Function = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass
class Module:
    """What a file defines.

    Attributes:
        definitions: by name; members as "Class.name".
        members: of every class, name to whether it counts although nobody names it.
        bases: of every class, the chains of its base classes.
        imports: as of a definition; `stars` are the modules that everything is imported from.
        registered: first text of a decorator's call, such as a registered name, to the definitions below it.
    """

    path: Path
    definitions: dict[str, Definition] = field(default_factory=dict)
    members: dict[str, dict[str, bool]] = field(default_factory=dict)
    bases: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    imports: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    stars: list[tuple[str, int]] = field(default_factory=list)
    registered: dict[str, list[str]] = field(default_factory=dict)


def read(path: Path, text: str | bytes) -> Module:
    """The definitions in the text of a file; SyntaxError where it is not Python."""
    module = Module(path)
    pieces: dict[str, list[ast.AST]] = defaultdict(list)
    _statements(ast.parse(text).body, module, pieces)
    if "__getattr__" in pieces:  # its names are imported when they are asked for, and here for type checkers
        for node in ast.walk(ast.Module([node for node in ast.parse(text).body if isinstance(node, ast.If)], [])):
            module.imports |= imported(node) if isinstance(node, ast.ImportFrom) else {}
    for name, nodes in pieces.items():
        module.definitions[name] = definition(nodes)
    return module


def _statements(body: Iterable[ast.stmt], module: Module, pieces: dict[str, list[ast.AST]]) -> None:
    """Deal out the statements of a module to the names that they define."""
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            module.imports |= imported(node)
            if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                module.stars.append((node.module or "", node.level))
        elif isinstance(node, (*Function, ast.ClassDef)):
            for text in _registrations(node):
                module.registered.setdefault(text, []).append(node.name)
            if isinstance(node, ast.ClassDef):
                _class(node, module, pieces)
            else:
                pieces[node.name].append(node)
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for name in {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)} - {"__all__"}:
                pieces[name].append(node)
        elif isinstance(node, ast.If) and _mentions(node.test, {"TYPE_CHECKING", "__name__"}):
            continue
        elif isinstance(node, (ast.If, ast.Try)):
            branches = [node.body, node.orelse]
            if isinstance(node, ast.Try):
                branches += [node.finalbody, *(handler.body for handler in node.handlers)]
            else:
                pieces[BODY].append(node.test)
            for branch in branches:
                _statements(branch, module, pieces)
        elif not is_words(node) and not _mentions(node, {"register_claim"}):
            pieces[BODY].append(node)


def _class(node: ast.ClassDef, module: Module, pieces: dict[str, list[ast.AST]]) -> None:
    members = module.members.setdefault(node.name, {})
    module.bases[node.name] = [chain for base in node.bases if (chain := chain_of(_unsubscripted(base)))]
    header: list[ast.AST] = [*node.bases, *node.keywords, *decorators(node)]
    for item in node.body:
        names: list[str] = []
        counts = False
        if isinstance(item, Function):
            names = [item.name]
            counts = _is_dunder(item.name) or not all(last(d) in PLAIN for d in item.decorator_list)
        elif isinstance(item, ast.Assign):
            names = [n.id for target in item.targets for n in ast.walk(target) if isinstance(n, ast.Name)]
        elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            names = [item.target.id]
            if item.value is None:  # the order of what has no default is how positions are read
                header.append(ast.Name(item.target.id))
        elif not is_words(item):
            header.append(item)
        for name in names:
            pieces[f"{node.name}.{name}"].append(item)
            members[name] = members.get(name, False) or counts
    pieces[node.name] += [ast.Constant("class"), *header]


def _registrations(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> Iterator[str]:
    for decorator in node.decorator_list:
        first = decorator.args[0] if isinstance(decorator, ast.Call) and decorator.args else None
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield first.value


def _unsubscripted(node: ast.expr) -> ast.expr:
    return node.value if isinstance(node, ast.Subscript) else node


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _mentions(node: ast.AST, names: set[str]) -> bool:
    return any(isinstance(n, ast.Name) and n.id in names for n in ast.walk(node))
