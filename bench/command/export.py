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
    folders = [folder for pattern in ("runs/*/", "*/runs/*/") for folder in sorted(root.glob(pattern))]
    found = [folder for folder in folders if folder.name == options.export]
    if not found:
        raise UsageError(f"--export: {unknown('run', options.export, [folder.name for folder in folders])} in {root}")
    if len(found) > 1:
        places = " and ".join(str(folder.parents[1]) for folder in found)
        raise UsageError(f"--export {options.export}: several suites have it: name one as --results: {places}")
    from bench.training import exported

    trained = exported.of_folder(found[0].resolve(), data_dir)
    if trained.stale:
        print(f"stale: {options.export} train: {trained.stale}")
    exported.write(trained, path)
    size = path.stat().st_size / 2**20
    what = f"{trained.facts['label']} on {trained.dataset.name}"
    print(f"export: {what} in {path}, {size:.3g} MiB; bench.load({str(path)!r})")
    return 0
