"""What a module of Python defines, read from its text.

A definition is a function, a constant, or a class without its members; a member is one of its own, "Class.name".
bench/identity/syntax.py reads one.
"""

import ast
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from bench.identity.syntax import (
    Definition,
    Imports,
    Names,
    chain_of,
    decorators,
    definition,
    imported,
    is_words,
    last,
)

PLAIN = {
    *("property", "cached_property", "staticmethod", "classmethod", "abstractmethod", "lru_cache", "cache"),
    *("model_validator", "field_validator"),
}  # decorators whose method runs only where somebody names it, or before there is a run
BODY = "<module>"  # the statements of a module that define nothing

Function = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass
class Module:
    """What a file defines, by name; members of its classes as "Class.name"."""

    path: Path
    definitions: dict[str, Definition] = field(default_factory=dict)
    # Of every class, its members with whether one counts although nobody names it, and the names of its bases.
    members: dict[str, dict[str, bool]] = field(default_factory=dict)
    bases: dict[str, list[Names]] = field(default_factory=dict)
    imports: Imports = field(default_factory=dict)
    stars: list[tuple[str, int]] = field(default_factory=list)  # modules, with dots, that everything is imported from
    registered: dict[str, list[str]] = field(
        default_factory=dict
    )  # first text of a decorator's call to what it decorates


def read(path: Path, text: str | bytes) -> Module:
    """The definitions in the text of a file; SyntaxError where it is not Python."""
    module = Module(path)
    pieces: dict[str, list[ast.AST]] = defaultdict(list)
    _statements(ast.parse(text).body, module, pieces)
    module.definitions = {name: definition(nodes) for name, nodes in pieces.items()}
    return module


def _statements(body: Iterable[ast.stmt], module: Module, pieces: dict[str, list[ast.AST]]) -> None:
    """Deal out the statements of a module to the names that they define."""
    for node in body:
        match node:
            case ast.Import():
                module.imports |= imported(node)
            case ast.ImportFrom():
                module.imports |= imported(node)
                module.stars += [(node.module or "", node.level)] if node.names[0].name == "*" else []
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                for decorator in node.decorator_list:
                    match decorator:
                        case ast.Call(args=[ast.Constant(value=str(text)), *_]):
                            module.registered.setdefault(text, []).append(node.name)
                if isinstance(node, ast.ClassDef):
                    _class(node, module, pieces)
                else:
                    pieces[node.name].append(node)
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                for name in _assigned(node) - {"__all__"}:
                    pieces[name].append(node)
            case ast.If() if _mentions(node.test, "TYPE_CHECKING"):  # a lazy package has the homes of its names there
                _statements([inner for inner in node.body if isinstance(inner, ast.ImportFrom)], module, pieces)
            case ast.If() if not _mentions(node.test, "__name__"):
                pieces[BODY].append(node.test)
                _statements([*node.body, *node.orelse], module, pieces)
            case ast.Try():
                handled = [statement for handler in node.handlers for statement in handler.body]
                _statements([*node.body, *node.orelse, *node.finalbody, *handled], module, pieces)
            case ast.If() | ast.Expr(value=ast.Constant()):
                pass
            case _ if not _mentions(node, "register_claim") and not (isinstance(node, ast.Expr) and is_words(node)):
                pieces[BODY].append(node)


def _class(node: ast.ClassDef, module: Module, pieces: dict[str, list[ast.AST]]) -> None:
    members = module.members.setdefault(node.name, {})
    bases = (base.value if isinstance(base, ast.Subscript) else base for base in node.bases)
    module.bases[node.name] = [chain for base in bases if (chain := chain_of(base))]
    header: list[ast.AST] = [ast.Constant("class"), *node.bases, *node.keywords, *decorators(node)]
    for item in node.body:
        names, counts = set[str](), False
        if isinstance(item, Function):
            names = {item.name}
            counts = item.name.startswith("__") or not all(last(d) in PLAIN for d in item.decorator_list)
        elif isinstance(item, (ast.Assign, ast.AnnAssign)):
            names = _assigned(item)
            if item.value is None:  # the order of what has no default is how positions are read
                header += [ast.Name(name) for name in names]
        elif not (isinstance(item, ast.Expr) and is_words(item)):
            header.append(item)
        for name in names:
            pieces[f"{node.name}.{name}"].append(item)
            members[name] = members.get(name, False) or counts
    pieces[node.name] += header


def _assigned(node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> set[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}


def _mentions(node: ast.AST, name: str) -> bool:
    return any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(node))
