"""What `--list` prints: every name of every registry with one line of what it is, or the options of one name.

The line of a built-in entry is read from the text of its file, as importing them all takes torch, pandas and more:
the label or title of its decorator, and the first line of its docstring or of its module's.
"""

import argparse
import ast
import importlib.metadata
import inspect
import json
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.command.options import declare
from bench.config.options import hints_of, names_of
from bench.config.registry import SEVEN, Registry, baselines, datasets, networks, samplers, unknown
from bench.config.suite import load_suite, suite_names
from bench.errors import UsageError

PROJECT = Path(__file__).parents[2]
SET_BY = (
    (datasets, "--set dataset.OPTION=VALUE"),
    (networks, "--set network.OPTION=VALUE"),
    (baselines, "--set {name}.OPTION=VALUE"),
    (samplers, '{{ name = "{name}", OPTION = VALUE }} in a list of samplers'),
)


def show(options: argparse.Namespace) -> int:
    declare(options)
    if options.list:
        return show_options(options.list)
    found = {"suites": {name: load_suite(name)[1].about for name in suite_names()}}
    for kind, lines in (found | {f"{registry.kind}s": described(registry) for registry in SEVEN}).items():
        print(f"{kind}:")
        width = max(map(len, lines), default=0)
        for name, line in lines.items():
            print(f"  {name:{width}}  {line}".rstrip())
    return 0


def show_options(name: str) -> int:
    """Each entry of that name, with its options, their defaults and, of a choice, what there is."""
    if not any(name in registry for registry, _ in SET_BY):
        raise UsageError(
            "--list: " + unknown("name", name, sorted({known for registry, _ in SET_BY for known in registry}))
        )
    for registry, how in SET_BY:
        if name not in registry:
            continue
        print(f"{registry.kind} {name}: {described(registry)[name]}")
        print(f"  {how.format(name=name)}")
        signature, hints = inspect.signature(registry[name]), hints_of(registry[name])
        options = names_of(registry, name)
        width = max(map(len, options), default=0)
        for option in options:
            default = signature.parameters[option].default
            print(f"  {option:{width}}  {_default(default)}{_choice(hints.get(option))}")
    return 0


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "needed"
    return "none" if value is None else json.dumps(value, default=str)


def _choice(hint: Any) -> str:
    """What an option is one of, if its type says that."""
    values = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()
    return f"  ({', '.join(map(json.dumps, values))})" if values else ""


def described(registry: Registry[Any]) -> dict[str, str]:
    """Name to line, in the order of the names; modules are imported only where no text tells."""
    folder = PROJECT.joinpath(*registry.package.split("."))
    found = {name: line for path in sorted(folder.glob("*.py")) for name, line in _written(path)}
    if not found or importlib.metadata.entry_points(group=registry.group):
        registry.load()
    found |= {name: _line_of(entry) for name, entry in registry.so_far().items()}
    return dict(sorted(found.items()))


def _written(path: Path) -> Iterator[tuple[str, str]]:
    """Names that a file's decorators, and its calls of `declare`, register, with their lines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        calls: list[ast.expr] = []
        words = ast.get_docstring(tree) or ""
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                calls, words = node.decorator_list, ast.get_docstring(node) or words
            case ast.Expr(value=ast.Call(func=ast.Name(id="declare")) as call):
                calls = [call]
        for each in calls:
            match each:
                case ast.Call(args=[ast.Constant(value=str(name)), *_], keywords=keywords):
                    told = {k.arg: k.value.value for k in keywords if isinstance(k.value, ast.Constant)}
                    facts = [k.value.args[0] for k in keywords if isinstance(k.value, ast.Call) and k.value.args]
                    titles = [told.get("title"), *(fact.value for fact in facts if isinstance(fact, ast.Constant))]
                    yield name, _line(", ".join(str(title) for title in titles if title), told.get("label"), words)


def _line_of(entry: Any) -> str:
    """The same of an object that is registered: a class, a function or an instance."""
    facts = getattr(entry, "facts", {}).values()
    title = getattr(entry, "about", "") or getattr(entry, "title", "") or ", ".join(fact.title for fact in facts)
    kind = entry if inspect.isclass(entry) or inspect.isroutine(entry) else type(entry)
    own = kind.__doc__ or ""
    generated = own.startswith(f"{kind.__name__}(")  # what a dataclass says by itself
    module = sys.modules[kind.__module__].__doc__ or ""
    return _line(title, getattr(entry, "label", ""), module if generated or not own else own)


def _line(title: str, label: Any, words: str) -> str:
    """A title says it all; a label is followed by the first line of the docstring, unless that begins with it."""
    first = inspect.cleandoc(words).partition("\n")[0]
    told = label if isinstance(label, str) and label and not first.startswith(label) else ""  # a sampler's is no text
    return title or (f"{told}: {first}" if told else first)
