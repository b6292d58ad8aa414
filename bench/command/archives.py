"""Results that are passed on: an archive is written from a suite's folder, and looked at as such a folder is.

An archive goes by its own plan, whatever suites and code are here: nothing in it is called stale or run again.
"""

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

from bench.command.options import declare
from bench.config.suite import load_suite
from bench.errors import UsageError
from bench.launch.invocation import suite_of
from bench.records.archive import SUFFIX, beside, opened, unpack, write_archive
from bench.records.frame import staleness
from bench.records.stored import Stored, stored


def act(options: argparse.Namespace) -> int:
    """What the command line asks of an archive; UsageError if an archive cannot give it."""
    if options.archive:
        return archive(options)
    path = options.results
    for option in ("set", "baselines", "datasets", "seeds", "protocol", "retry", "fetch", "json"):
        if getattr(options, option):
            raise UsageError(f"--results {path}: an archive is read whole; --{option} is for a folder of results")
    if options.report:
        declare(options)
        return report(path)
    if options.status or options.dry_run:
        return status(path, options.dry_run)
    raise UsageError(f"--results {path}: an archive is for --report, --status, --dry-run and --archive; name a folder")


def archive(options: argparse.Namespace) -> int:
    """Write the records of the suite's folder, and what is merged, into one file."""
    path: Path = options.archive
    if not path.name.endswith(SUFFIX) or path.name == SUFFIX:
        raise UsageError(f"--archive {path}: expected a name that ends in {SUFFIX}")
    if path.is_dir() or any(above.exists() and not above.is_dir() for above in path.parents):
        raise UsageError(f"--archive {path}: not the name of a file in a folder")
    first = options.results if options.results.is_file() else options.results / load_suite(suite_of(options))[0]
    for source in (first, *options.merge):
        if not source.is_file() and not (source / "runs").is_dir():
            raise UsageError(f"--archive {path}: there are no records in {source}")
    records = write_archive([first, *options.merge], path, options.arrays)
    for note in records.notes:
        print(note)
    runs = {run_id for run_id, _ in records.stages}
    print(
        f"archive: {len(records.stages)} records of {len(runs)} runs in {path}, {path.stat().st_size / 2**20:.1f} MiB"
    )
    return 0


def report(path: Path) -> int:
    from bench.report.build import build

    root = beside(path)
    if root.exists() and not root.is_dir():
        raise UsageError(f"--report: {root}: a file, where {path} is unpacked; move one of them")
    if not os.access(root if root.exists() else root.parent, os.W_OK):
        raise UsageError(f"--report: {root} cannot be written; give a copy of {path} as --results")
    unpack(path, root)
    written = build(root)
    print(f"report: {root / 'report.html'} and {len(written) - 1} more files in {root}")
    return 0


def status(path: Path, dry_run: bool) -> int:
    """Print how every run of an archive stands, by the archive's own plan."""
    with opened(path) as root:
        runs, complaint = stored(root)
        counts: Counter[str] = Counter()
        for run in runs:
            state, reason = _state(run)
            counts[state] += 1
            name = run.entry.get("run_id", run.folder.name)
            print(f"{state:8} {name}" + f"  {reason}".rstrip().replace(str(root), str(path)))
        print(", ".join(f"{count} {name}" for name, count in counts.items()))
    if complaint:
        print(complaint.replace(str(root), str(path)), file=sys.stderr)
    if dry_run:
        print(f"0 of {len(runs)} runs would start: an archive is only read")
    return 1 if counts["failed"] and not dry_run else 0


def _state(run: Stored) -> tuple[str, str]:
    found = run.records()
    stages = run.entry.get("stages") or list(found)
    for stage in stages:
        record = found.get(stage)
        if record and record["status"] == "failed":
            return "failed", str(record["error"])
        if record and (reason := staleness(record, run.entry, stage)):
            return "stale", f"{stage}: {reason}"
    return ("ok" if all(stage in found for stage in stages) else "missing"), ""
