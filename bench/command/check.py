"""`--plugin FILE --check`: whether all that a file registers keeps its contract, one line a check."""

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.command.options import key_value
from bench.config.registry import SEVEN, home_of, load_plugin, whole
from bench.errors import NotApplicable, UsageError, one_line

if TYPE_CHECKING:
    from bench.command.tiny import Workshop


def check(options: argparse.Namespace, data_dir: Path) -> int:
    """Check the plugins' entries; exit code 1 if a check fails, UsageError if there is no plugin or no entry."""
    if not options.plugin:
        raise UsageError("--check: name the file to check, as --plugin FILE")
    for registry in SEVEN:
        registry.load()
    before = {(registry.kind, name) for registry in SEVEN for name in registry.so_far()}
    modules = tuple(load_plugin(plugin).__name__ for plugin in options.plugin)
    entries = [
        (registry.kind, name)
        for registry in SEVEN
        for name, entry in registry.items()
        if (registry.kind, name) not in before or home_of(entry).startswith(modules)
    ]
    if not entries:
        raise UsageError(f"--check: {', '.join(options.plugin)} registers nothing")
    plugins = tuple(map(whole, options.plugin))
    chosen: dict[str, dict[str, Any]] = defaultdict(dict)
    for text in options.set:
        key, value = key_value("--set", text)
        name, _, option = key.partition(".")
        chosen[name][option] = value
    from bench.command.tiny import Workshop

    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(Path(folder), data_dir, plugins, chosen)
        return 1 if sum([checked(kind, name, workshop) for kind, name in entries]) else 0


def checked(kind: str, name: str, workshop: "Workshop") -> int:
    """Check an entry and print a line a check; the number that failed."""
    failed, checks, what = 0, checks_of(kind, name, workshop), ""
    while True:
        try:
            what = "what to check"
            what, act = next(checks)
            verdict, note = "ok", act()
        except StopIteration:
            return failed
        except NotApplicable as reason:
            verdict, note = "ok", f"not applicable: {reason}"
        except Exception as error:
            verdict, note = "FAILED", str(error) if isinstance(error, UsageError) else one_line(error)
            failed += 1
        print(f"{verdict:6}  {kind} {name}, {what}: {note}", flush=True)


def checks_of(kind: str, name: str, workshop: "Workshop") -> Iterator[tuple[str, Callable[[], str]]]:
    """What is checked of an entry, and what checks it."""
    from bench.command import conformance, conformance_of_results

    yield from (vars(conformance) | vars(conformance_of_results))[f"of_{kind}"](name, workshop)
