"""Results that are passed on: an archive is written from a suite's folder, and looked at as such a folder is.

An archive goes by its own plan, whatever suites and code are here: nothing in it is called stale or run again.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bench.archive import SUFFIX, beside, opened, unpack, write_archive
from bench.errors import UsageError
from bench.reading import read_planned, read_record
from bench.records import run_folder
from bench.suite import load_suite


def act(options: argparse.Namespace) -> int:
    """What the command line asks of an archive; UsageError if an archive cannot give it."""
    if options.archive:
        return archive(options)
    path = options.results
    for option in ("set", "baselines", "datasets", "seeds", "protocol", "retry", "fetch"):
        if getattr(options, option):
            raise UsageError(f"--results {path}: an archive is read whole; --{option} is for a folder of results")
    if options.report:
        return report(path, options.plugin, options.claims)
    if options.status or options.dry_run:
        return status(path, options.dry_run)
    raise UsageError(f"--results {path}: an archive is for --report, --status, --dry-run and --archive; name a folder")


def archive(options: argparse.Namespace) -> int:
    """Write the records of the suite's folder, and what is merged, into one file."""
    path: Path = options.archive
    if not path.name.endswith(SUFFIX) or path.name == SUFFIX:
        raise UsageError(f"--archive {path}: expected a name that ends in {SUFFIX}")
    first = options.results if options.results.is_file() else options.results / load_suite(options.suite)[0]
    for source in (first, *options.merge):
        if not source.is_file() and not (source / "runs").is_dir():
            raise UsageError(f"--archive {path}: there are no records in {source}")
    records = write_archive([first, *options.merge], path)
    for note in records.notes:
        print(note)
    runs = {run_id for run_id, _ in records.stages}
    print(
        f"archive: {len(records.stages)} records of {len(runs)} runs in {path}, {path.stat().st_size / 2**20:.1f} MiB"
    )
    return 0


def report(path: Path, plugins: Sequence[str], claims: Sequence[Path]) -> int:
    """Unpack the archive beside itself and report there."""
    from bench.claims import load_claims, register_claim
    from bench.registry import load_plugin
    from bench.report import build

    for plugin in plugins:
        load_plugin(plugin)
    for file in claims:
        for claim in load_claims(file):
            register_claim(claim)
    root = beside(path)
    unpack(path, root)
    written = build(root)
    print(f"report: {root / 'report.html'} and {len(written) - 1} more files in {root}")
    return 0


def status(path: Path, dry_run: bool) -> int:
    """Print how every run of an archive stands."""
    with opened(path) as root:
        entries, complaint = read_planned(root / "plan.json")
        planned = {entry["run_id"]: entry["stages"] for entry in entries}
        counts: Counter[str] = Counter()
        folders = {run_folder(root, run_id) for run_id in planned}
        for folder in sorted({*(root / "runs").glob("*")} - folders):
            planned[folder.name] = [file.stem for file in sorted(folder.glob("*.json"))]
        for run_id, stages in planned.items():
            found = [read_record(run_folder(root, run_id) / f"{stage}.json") for stage in stages]
            failed = next((record for record in found if record and record["status"] == "failed"), None)
            state = "failed" if failed else "ok" if all(found) else "missing"
            counts[state] += 1
            print(f"{state:8} {run_id}" + (f"  {failed['error']}" if failed else ""))
        print(", ".join(f"{count} {name}" for name, count in counts.items()))
    if complaint:
        print(complaint, file=sys.stderr)
    if dry_run:
        print(f"0 of {len(planned)} runs would start: an archive is only read")
    return 1 if counts["failed"] and not dry_run else 0
