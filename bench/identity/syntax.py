"""One definition of Python, read from its syntax tree: a digest, and what it refers to.

Comments, formatting, docstrings and type hints are not in the digest, nor are words: what is raised keeps its kind and
loses its message, and lines for a log are left out. It is the same on every Python.
"""

import ast
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

WORDS = {"print", "log", "debug", "info", "warn", "warning", "error", "report", "say", "progress"}
TOLD = {"title", "unit", "direction", "group", "meaning"}  # of a metric, to a reader
LEFT_OUT = {"ctx", "type_comment", "type_params", "kind", "annotation", "returns"}


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


def definition(nodes: Iterable[ast.AST]) -> Definition:
    found = Definition()
    parts: list[str] = []
    for node in nodes:
        _take(node, parts, found)
    found.digest = hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return found


def _take(node: ast.AST, parts: list[str], found: Definition) -> None:
    """Add the normalised tree of a node to `parts`, and what it refers to to `found`."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        found.imports |= imported(node)
        return
    if isinstance(node, ast.Assert) or (isinstance(node, ast.stmt) and is_words(node)):
        return
    if isinstance(node, ast.AnnAssign):
        if node.value is not None:
            _take(ast.Assign([node.target], node.value), parts, found)
        return
    if isinstance(node, ast.Call) and last(node) == "Facts":  # of a number, to a reader
        parts.append("Facts")
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
        if chain := chain_of(node):
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
            value = decorators(node)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ast.AST):
                _take(item, parts, found)
            else:
                parts.append(repr(item))
    parts.append(")")


def _calls(node: ast.Call, found: Definition) -> None:
    if last(node) == "Phase":  # names the method that is its loss
        found.attributes |= {
            a.value for a in ast.walk(node) if isinstance(a, ast.Constant) and isinstance(a.value, str)
        }
    found.texts |= {f"{keyword.arg}=" for keyword in node.keywords if keyword.arg}
    if isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr") and len(node.args) > 1:
        name = node.args[1]
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            found.attributes.add(name.value)
        else:
            found.dynamic = True


def imported(node: ast.Import | ast.ImportFrom) -> dict[str, tuple[str, str, int]]:
    if isinstance(node, ast.Import):
        # `import a.b` binds a; `import a.b as c` binds a.b
        return {
            a.asname or a.name.split(".")[0]: (a.name if a.asname else a.name.split(".")[0], "", 0) for a in node.names
        }
    return {a.asname or a.name: (node.module or "", a.name, node.level) for a in node.names if a.name != "*"}


def decorators(node: ast.AST) -> list[ast.AST]:
    """Those that are more than a name in a registry; of a metric's, how it is measured and the names of its numbers."""
    found: list[ast.AST] = []
    for decorator in getattr(node, "decorator_list", ()):
        if not last(decorator).startswith("register_"):
            found.append(decorator)
        elif last(decorator) == "register_metric" and isinstance(decorator, ast.Call):
            found += [keyword for keyword in decorator.keywords if keyword.arg not in TOLD]
    return found


def last(node: ast.AST) -> str:
    """The last name of what is called or named: "b" of a.b(c)."""
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def chain_of(node: ast.AST) -> tuple[str, ...]:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


def is_words(node: ast.stmt) -> bool:
    """Whether a statement says something and does nothing: a docstring, a line for a log."""
    if not isinstance(node, ast.Expr):
        return False
    if isinstance(node.value, ast.Constant):
        return True
    call = node.value
    if not (isinstance(call, ast.Call) and call.args and last(call) in WORDS):
        return False
    first = call.args[0]
    return isinstance(first, ast.JoinedStr) or (isinstance(first, ast.Constant) and isinstance(first.value, str))
