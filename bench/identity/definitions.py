"""What a module of Python defines, read from its text: a digest of every definition, and what it refers to.

A definition is a function, a constant, or a class without its members; a member is one of its own, "Class.name". Its
digest is of its syntax tree, so comments, formatting, docstrings and type hints are not in it, nor are words: what is
raised keeps its kind and loses its message, and lines for a log are left out. It is the same on every Python.
"""

import ast
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

WORDS = {"print", "log", "debug", "info", "warn", "warning", "error", "report", "say", "progress"}
PLAIN = {
    *("property", "cached_property", "staticmethod", "classmethod", "abstractmethod", "lru_cache", "cache"),
    *("model_validator", "field_validator"),
}  # decorators whose method runs only where somebody names it, or before there is a run
LEFT_OUT = {"ctx", "type_comment", "type_params", "kind", "annotation", "returns"}
BODY = "<module>"  # the statements of a module that define nothing

Function = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass
class Definition:
    """One definition.

    Attributes:
        digest: of its normalised syntax tree.
        chains: ("a", "b", "c") for a.b.c, ("a",) for a.
        attributes: names after a dot whose left side is no chain.
        texts: short string constants, and keywords of calls as "key=".
        imports: what it imports itself: local name to (module, attribute or "", dots of a relative import).
        dynamic: whether it asks for an attribute whose name it computes.
    """

    digest: str = ""
    chains: set[tuple[str, ...]] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    imports: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    dynamic: bool = False


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
            module.imports |= _imported(node) if isinstance(node, ast.ImportFrom) else {}
    for name, nodes in pieces.items():
        module.definitions[name] = _definition(nodes)
    return module


def _statements(body: Iterable[ast.stmt], module: Module, pieces: dict[str, list[ast.AST]]) -> None:
    """Deal out the statements of a module to the names that they define."""
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            module.imports |= _imported(node)
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
        elif not _is_words(node) and not _mentions(node, {"register_claim"}):
            pieces[BODY].append(node)


def _class(node: ast.ClassDef, module: Module, pieces: dict[str, list[ast.AST]]) -> None:
    members = module.members.setdefault(node.name, {})
    module.bases[node.name] = [chain for base in node.bases if (chain := _chain(_unsubscripted(base)))]
    header: list[ast.AST] = [*node.bases, *node.keywords, *_decorators(node)]
    for item in node.body:
        names: list[str] = []
        counts = False
        if isinstance(item, Function):
            names = [item.name]
            counts = _is_dunder(item.name) or not all(_last(d) in PLAIN for d in item.decorator_list)
        elif isinstance(item, ast.Assign):
            names = [n.id for target in item.targets for n in ast.walk(target) if isinstance(n, ast.Name)]
        elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            names = [item.target.id]
            if item.value is None:  # the order of what has no default is how positions are read
                header.append(ast.Name(item.target.id))
        elif not _is_words(item):
            header.append(item)
        for name in names:
            pieces[f"{node.name}.{name}"].append(item)
            members[name] = members.get(name, False) or counts
    pieces[node.name] += [ast.Constant("class"), *header]


def _definition(nodes: Iterable[ast.AST]) -> Definition:
    found = Definition()
    parts: list[str] = []
    for node in nodes:
        _take(node, parts, found)
    found.digest = hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return found


def _take(node: ast.AST, parts: list[str], found: Definition) -> None:
    """Add the normalised tree of a node to `parts`, and what it refers to to `found`."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        found.imports |= _imported(node)
        return
    if isinstance(node, ast.Assert) or (isinstance(node, ast.stmt) and _is_words(node)):
        return
    if isinstance(node, ast.AnnAssign):
        if node.value is not None:
            _take(ast.Assign([node.target], node.value), parts, found)
        return
    if isinstance(node, ast.Raise):
        kind = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        parts.append("(Raise")
        if kind is not None:
            _take(kind, parts, found)
        parts.append(")")
        return
    if isinstance(node, ast.Constant):
        parts.append(f"{type(node.value).__name__} {node.value!r}")
        if isinstance(node.value, str) and len(node.value) < 80:
            found.texts.add(node.value)
        return
    if isinstance(node, (ast.Name, ast.Attribute)):
        if chain := _chain(node):
            found.chains.add(chain)
            parts.append(".".join(chain))
            return
        assert isinstance(node, ast.Attribute)
        found.attributes.add(node.attr)
    if isinstance(node, ast.Call):
        _calls(node, found)
    parts.append(f"({type(node).__name__}")
    for name, value in ast.iter_fields(node):
        if name in LEFT_OUT or value is None or value == []:
            continue
        parts.append(name)
        if name == "decorator_list":
            value = _decorators(node)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ast.AST):
                _take(item, parts, found)
            else:
                parts.append(repr(item))
    parts.append(")")


def _calls(node: ast.Call, found: Definition) -> None:
    found.texts |= {f"{keyword.arg}=" for keyword in node.keywords if keyword.arg}
    if isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr") and len(node.args) > 1:
        name = node.args[1]
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            found.attributes.add(name.value)
        else:
            found.dynamic = True


def _imported(node: ast.Import | ast.ImportFrom) -> dict[str, tuple[str, str, int]]:
    if isinstance(node, ast.Import):
        # `import a.b` binds a; `import a.b as c` binds a.b
        return {
            a.asname or a.name.split(".")[0]: (a.name if a.asname else a.name.split(".")[0], "", 0) for a in node.names
        }
    return {a.asname or a.name: (node.module or "", a.name, node.level) for a in node.names if a.name != "*"}


def _registrations(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> Iterator[str]:
    for decorator in node.decorator_list:
        first = decorator.args[0] if isinstance(decorator, ast.Call) and decorator.args else None
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield first.value


def _decorators(node: ast.AST) -> list[ast.expr]:
    """Those that are more than a name in a registry."""
    return [d for d in getattr(node, "decorator_list", ()) if not _last(d).startswith("register_")]


def _last(node: ast.AST) -> str:
    """The last name of what is called or named: "b" of a.b(c)."""
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _chain(node: ast.AST) -> tuple[str, ...]:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


def _unsubscripted(node: ast.expr) -> ast.expr:
    return node.value if isinstance(node, ast.Subscript) else node


def _is_words(node: ast.stmt) -> bool:
    """Whether a statement says something and does nothing: a docstring, a line for a log."""
    if not isinstance(node, ast.Expr):
        return False
    if isinstance(node.value, ast.Constant):
        return True
    call = node.value
    if not (isinstance(call, ast.Call) and call.args and _last(call) in WORDS):
        return False
    first = call.args[0]
    return isinstance(first, ast.JoinedStr) or (isinstance(first, ast.Constant) and isinstance(first.value, str))


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _mentions(node: ast.AST, names: set[str]) -> bool:
    return any(isinstance(n, ast.Name) and n.id in names for n in ast.walk(node))
