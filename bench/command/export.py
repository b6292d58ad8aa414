"""Trained weights in one file that passes them on: `--export RUN_ID` writes RUN_ID.safetensors where it is called."""

import argparse
from pathlib import Path

from bench.command.options import check_alone, declare
from bench.config.registry import unknown
from bench.errors import UsageError

TAKEN = ("export", "plugin", "results", "data_dir")


def export(options: argparse.Namespace, data_dir: Path) -> int:
    """Write the weights of a run of any suite in the results, with its settings; UsageError if there are none."""
    check_alone(options, "export", TAKEN)
    path = Path(f"{options.export}.safetensors")
    if path.exists():
        raise UsageError(f"--export: there is a {path} here already; move it away")
    declare(options)
    root: Path = options.results
    folders = {folder.name: folder for pattern in ("runs/*/", "*/runs/*/") for folder in sorted(root.glob(pattern))}
    if options.export not in folders:
        raise UsageError(f"--export: {unknown('run', options.export, list(folders))} in {root}")
    from bench.training import exported

    found = exported.of_folder(folders[options.export].resolve(), data_dir)
    exported.write(found, path)
    size = path.stat().st_size / 2**20
    print(
        f"export: {found.facts['label']} on {found.dataset.name} in {path}, {size:.3g} MiB; bench.load({str(path)!r})"
    )
    return 0
