"""Benchmarks against the best known way of doing the same: one table in one run, no thresholds.

`python tests/perf/run.py [NAMES] [--rounds N] [--threads N] [--out FILE.md] [--data-dir DIR]`
"""

import argparse
import datetime
import importlib
import os
import shlex
import sys
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from compare import Row

from bench.records import provenance

NAMES = (
    "training_loop",
    "stack",
    "sampling",
    "log_density",
    "divergence",
    "cnf_step",
    "workers",
    "records",
    "inception",
    "training_options",
)
# These take minutes more, so only by name.
ASKED = ("image_training", "compiled_evaluation", "frechet", "report", "suite", "scale", "memory", "estimate")
HEADER = ("comparison", "ours", "reference", "unit", "ratio", "in one round", "asked for")
WIDTHS = (62, 10, 10, 9, 6, 14, 20)


def cells(row: Row) -> list[str]:
    if not row.ours:
        return [row.name, "", "", "", "", "", "not measured"]
    low, high = row.range
    asked = f"{row.target} {'(met)' if row.met else '(missed)'}" if row.target else ""
    sides = [f"{median(side):.4g}" for side in (row.ours, row.reference)]
    return [row.name, *sides, row.unit, f"{row.ratio:.2f}", f"{low:.2f} to {high:.2f}", asked]


def line(parts: list[str] | tuple[str, ...]) -> str:
    return " ".join(part.ljust(width) for part, width in zip(parts, WIDTHS, strict=True)).rstrip()


def markdown(rows: list[Row], facts: str) -> str:
    lines = [HEADER, ["---"] * len(HEADER), *(cells(row) for row in rows)]
    table = "\n".join(f"| {' | '.join(parts)} |" for parts in lines)
    notes = "\n".join(f"- {row.name}: {row.note}" for row in rows if row.note)
    return f"{facts}\n\n{table}\n\n{notes}\n"


def facts(rounds: int) -> str:
    """What the numbers hang on, in one paragraph."""
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions().items())
    program = Path(sys.argv[0]).resolve().relative_to(Path(__file__).resolve().parents[2])
    command = shlex.join(["python", str(program), *sys.argv[1:]])
    load = "" if not hasattr(os, "getloadavg") else f", load {os.getloadavg()[0]:.1f} at the start"
    return (
        f"Medians of {rounds} interleaved rounds; ratios are ours / reference. {provenance.device_name('cpu')}{load}; "
        f"commit {provenance.commit()}; {versions}; {datetime.date.today().isoformat()}; `{command}`."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)} (default: all), or {', '.join(ASKED)}"
    )
    parser.add_argument("--rounds", type=int, default=7, help="fewer than 5 try whether they run, without --out")
    parser.add_argument("--threads", type=int, help="threads of torch (default: its own choice)")
    parser.add_argument("--out", type=Path, metavar="FILE.md", help="write the table as Markdown, too")
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("BENCH_DATA", "data")))
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in (*NAMES, *ASKED)]:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    if options.rounds < 1 or (options.out and options.rounds < 5):
        parser.error(f"--rounds {options.rounds}: 1 at least, and 5 for a table to write, whose medians need them")
    if options.threads:
        torch.set_num_threads(options.threads)
    about = facts(options.rounds)
    print(about, line(HEADER), sep="\n\n")
    rows = []
    for name in options.names or NAMES:
        for row in importlib.import_module(name).rows(options.rounds, options.data_dir):
            print(line(cells(row)), f"    {row.note}", sep="\n", flush=True)
            rows.append(row)
    if options.out:
        options.out.write_text(markdown(rows, about))


if __name__ == "__main__":
    main()
