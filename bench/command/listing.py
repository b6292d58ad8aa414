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
from bench.config import registry as registries
from bench.config.registry import Registry

PROJECT = Path(__file__).parents[2]
SEVEN: tuple[Registry[Any], ...] = (
    registries.datasets,
    registries.networks,
    registries.baselines,
    registries.samplers,
    registries.metrics,
    registries.figures,
    registries.papers,
)


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
    found |= {name: line_of(name, entry) for name, entry in registry.so_far().items()}
    return dict(sorted(found.items()))


def _written(path: Path) -> Iterator[tuple[str, str]]:
    """Names that a decorator of a file gives, with their lines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            continue
        for decorator in node.decorator_list:
            if not (isinstance(decorator, ast.Call) and decorator.args):
                continue
            words = {k.arg: k.value.value for k in decorator.keywords if isinstance(k.value, ast.Constant)}
            name, *_ = (argument.value if isinstance(argument, ast.Constant) else None for argument in decorator.args)
            if isinstance(name, str):
                title = words.get("label") or words.get("title")
                yield name, _line(title, ast.get_docstring(node) or ast.get_docstring(tree))


def line_of(name: str, entry: Any) -> str:
    """The same of an object that is registered: a class, a function or an instance."""
    if about := getattr(entry, "about", ""):
        return str(about)
    title = getattr(entry, "label", "") or getattr(entry, "title", "")
    kind = entry if inspect.isclass(entry) or inspect.isroutine(entry) else type(entry)
    own = kind.__doc__ or ""
    if own.startswith(f"{kind.__name__}("):  # what a dataclass says by itself
        own = ""
    return _line(title, own or getattr(sys.modules.get(kind.__module__), "__doc__", ""))


def _line(title: Any, docstring: str | None) -> str:
    first = inspect.cleandoc(docstring or "").partition("\n")[0]
    if not isinstance(title, str) or first.startswith(title):
        return first
    return ": ".join(part for part in (title, first) if part)
