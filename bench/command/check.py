"""`--plugin FILE --check`: whether all that a file registers keeps its contract, one line a check."""

import argparse
import sys
import tempfile
from pathlib import Path

from bench.command.listing import SEVEN
from bench.config.registry import load_plugin
from bench.errors import UsageError, one_line


def check(options: argparse.Namespace, data_dir: Path) -> int:
    """Check the plugins' entries; the exit code is 1 if a check fails.

    Raises:
        UsageError: there is no plugin, or it registers nothing.
    """
    if not options.plugin:
        raise UsageError("--check: name the file to check, as --plugin FILE")
    for registry in SEVEN:
        registry.load()
    before = {(registry.kind, name) for registry in SEVEN for name in registry.so_far()}
    modules = tuple(load_plugin(plugin).__name__ for plugin in options.plugin)
    mine = [
        (registry.kind, name)
        for registry in SEVEN
        for name, entry in registry.items()
        if (registry.kind, name) not in before or str(getattr(entry, "__module__", "")).startswith(modules)
    ]
    if not mine:
        raise UsageError(f"--check: {', '.join(options.plugin)} registers nothing")
    plugins = tuple(str(Path(p).resolve()) if p.endswith(".py") else p for p in options.plugin)
    with tempfile.TemporaryDirectory() as folder:
        return 1 if sum([checked(kind, name, Path(folder), data_dir, plugins) for kind, name in mine]) else 0


def checked(kind: str, name: str, folder: Path, data_dir: Path, plugins: tuple[str, ...] = ()) -> int:
    """Check an entry, in a folder that may be thrown away, and print a line a check; the number that failed."""
    from bench.command import conformance, conformance_of_results
    from bench.command.tiny import Workshop

    failed, of = 0, f"of_{kind}"
    checks = getattr(conformance, of, None) or getattr(conformance_of_results, of)
    for what, act in checks(name, Workshop(folder, data_dir, plugins)):
        try:
            verdict, said = "ok", act()
        except Exception as error:
            verdict, said = "FAILED", str(error) if isinstance(error, UsageError) else one_line(error)
            failed += 1
        print(f"{verdict:6}  {kind} {name}, {what}: {said}")
        sys.stdout.flush()
    return failed
