"""One definition of Python, read from its syntax tree: a digest, and what it refers to.

Comments, formatting, docstrings and type hints are not in the digest, nor are words: what is raised keeps its kind and
loses its message, and lines for a log and facts of a number are left out. It is the same on every Python.
"""

import ast
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

WORDS = {"print", "log", "debug", "info", "warn", "warning", "error", "report", "say", "progress"}
TOLD = {"title", "unit", "direction", "group", "meaning", "place"}  # of a metric, to a reader
LEFT_OUT = {"ctx", "type_comment", "type_params", "kind", "annotation", "returns"}

Names = tuple[str, ...]  # ("a", "b", "c") of a.b.c
Imports = dict[str, tuple[str, str, int]]  # local name to module, attribute or "", dots of a relative import


@dataclass
class Definition:
    """One definition: the digest of its normalised syntax tree, and what it refers to."""

    digest: str = ""
    chains: set[Names] = field(default_factory=set)  # what it names, ("a",) for a
    attributes: set[str] = field(default_factory=set)  # names after a dot whose left side is no chain
    texts: set[str] = field(default_factory=set)  # short string constants, and keywords of calls as "key="
    imports: Imports = field(default_factory=dict)  # its own
    dynamic: bool = False  # whether it asks for an attribute whose name it computes


def definition(nodes: Iterable[ast.AST]) -> Definition:
    found = Definition()
    parts: list[str] = []
    for node in nodes:
        _take(node, parts, found)
    found.digest = hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return found


def _take(node: ast.AST, parts: list[str], found: Definition) -> None:
    """Add the normalised tree of a node to `parts`, and what it refers to to `found`."""
    match node:
        case ast.Import() | ast.ImportFrom():
            found.imports |= imported(node)
        case ast.Assert() | ast.AnnAssign(value=None):
            pass
        case ast.Expr() if is_words(node):
            pass
        case ast.AnnAssign(value=ast.expr() as value):
            _tree(ast.Assign([node.target], value), parts, found)
        case ast.Raise():
            _tree(ast.Raise(node.exc.func if isinstance(node.exc, ast.Call) else node.exc), parts, found)
        case ast.Call() if last(node) == "Facts":
            parts.append("Facts")
        case ast.Constant():
            parts.append(f"{type(node.value).__name__} {node.value!r}")
            if isinstance(node.value, str) and len(node.value) < 80:
                found.texts.add(node.value)
        case ast.Name() | ast.Attribute() if chain := chain_of(node):
            found.chains.add(chain)
            parts.append(".".join(chain))
        case _:
            _tree(node, parts, found)


def _tree(node: ast.AST, parts: list[str], found: Definition) -> None:
    """The same of a node that is taken as it is written, by its fields."""
    if isinstance(node, ast.Attribute):
        found.attributes.add(node.attr)
    if isinstance(node, ast.Call):
        _call(node, found)
    parts.append(f"({type(node).__name__}")
    for name, value in ast.iter_fields(node):
        if name in LEFT_OUT or value is None or value == []:
            continue
        parts.append(name)
        items = decorators(node) if name == "decorator_list" else value if isinstance(value, list) else [value]
        for item in items:
            if isinstance(item, ast.AST):
                _take(item, parts, found)
            else:
                parts.append(repr(item))
    parts.append(")")


def _call(node: ast.Call, found: Definition) -> None:
    """Names in texts: the method that a Phase has for its loss, what getattr asks for; and the keywords."""
    found.texts |= {f"{keyword.arg}=" for keyword in node.keywords if keyword.arg}
    named: list[ast.expr] = []
    if last(node) == "Phase":
        named = [*node.args, *(keyword.value for keyword in node.keywords)]
    elif isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr") and len(node.args) > 1:
        named = [node.args[1]]
        found.dynamic |= not isinstance(node.args[1], ast.Constant)
    found.attributes |= {str(arg.value) for arg in named if isinstance(arg, ast.Constant)}


def imported(node: ast.Import | ast.ImportFrom) -> Imports:
    if isinstance(node, ast.ImportFrom):
        return {a.asname or a.name: (node.module or "", a.name, node.level) for a in node.names if a.name != "*"}
    # `import a.b` binds a; `import a.b as c` binds a.b
    bound = [(a.asname, a.name) if a.asname else (a.name.split(".")[0],) * 2 for a in node.names]
    return {name: (module, "", 0) for name, module in bound}


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


def chain_of(node: ast.AST) -> Names:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


def is_words(node: ast.Expr) -> bool:
    """Whether an expression says something and does nothing: a docstring, a line for a log."""
    call = node.value
    if not (isinstance(call, ast.Call) and call.args and last(call) in WORDS):
        return isinstance(call, ast.Constant)
    first = call.args[0]
    return isinstance(first, ast.JoinedStr) or (isinstance(first, ast.Constant) and isinstance(first.value, str))
