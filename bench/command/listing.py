"""What `--list` prints: every name of every registry, with one line of what it is.

The line of a built-in entry is read from the text of its file, as importing them all takes torch, pandas and more:
the label or title of its decorator, and the first line of its docstring or of its module's.
"""

import argparse
import ast
import importlib.metadata
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.command.options import declare
from bench.config.registry import SEVEN, Registry

PROJECT = Path(__file__).parents[2]


def show(options: argparse.Namespace) -> int:
    """Print what is registered, the plugins' among it."""
    declare(options)
    from bench.config.suite import load_suite, suite_names

    _print("suites", {name: load_suite(name)[1].about for name in suite_names()})
    for registry in SEVEN:
        _print(f"{registry.kind}s", described(registry))
    return 0


def _print(kind: str, lines: dict[str, str]) -> None:
    print(f"{kind}:")
    width = max(map(len, lines), default=0)
    for name, line in lines.items():
        print(f"  {name:{width}}  {line}".rstrip())


def described(registry: Registry[Any]) -> dict[str, str]:
    """Name to line, in the order of the names; modules are imported only where no text tells."""
    folder = PROJECT.joinpath(*registry.package.split("."))
    found = {name: line for path in sorted(folder.glob("*.py")) for name, line in _written(path)}
    if not found or importlib.metadata.entry_points(group=registry.group):
        registry.load()
    found |= {name: line_of(entry) for name, entry in registry.so_far().items()}
    return dict(sorted(found.items()))


def _written(path: Path) -> Iterator[tuple[str, str]]:
    """Names that a file's decorators, and its calls of `declare`, register, with their lines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        calls, words = [], ast.get_docstring(tree)
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            calls, words = node.decorator_list, ast.get_docstring(node) or words
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _name(node.value) == "declare":
            calls = [node.value]
        for call in calls:
            if isinstance(call, ast.Call) and call.args and isinstance(name := _constant(call.args[0]), str):
                said = {keyword.arg: _constant(keyword.value) for keyword in call.keywords}
                titles = [
                    _constant(k.value.args[0]) for k in call.keywords if isinstance(k.value, ast.Call) and k.value.args
                ]
                yield name, _line(said.get("title") or ", ".join(map(str, titles)), said.get("label"), words)


def _name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _constant(node: ast.expr) -> Any:
    return node.value if isinstance(node, ast.Constant) else None


def line_of(entry: Any) -> str:
    """The same of an object that is registered: a class, a function or an instance."""
    facts = getattr(entry, "facts", {}).values()
    title = getattr(entry, "about", "") or getattr(entry, "title", "") or ", ".join(fact.title for fact in facts)
    kind = entry if inspect.isclass(entry) or inspect.isroutine(entry) else type(entry)
    own = kind.__doc__ or ""
    if own.startswith(f"{kind.__name__}("):  # what a dataclass says by itself
        own = ""
    return _line(title, getattr(entry, "label", ""), own or sys.modules[kind.__module__].__doc__)


def _line(title: Any, label: Any, docstring: str | None) -> str:
    """A title says it all; a label is followed by the first line of the docstring, unless that begins with it."""
    first = inspect.cleandoc(docstring or "").partition("\n")[0]
    if isinstance(title, str) and title:
        return title
    return f"{label}: {first}" if isinstance(label, str) and label and not first.startswith(label) else first
