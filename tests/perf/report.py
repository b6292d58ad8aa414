"""A whole report of 512 runs, every figure, table, verdict and the page: suite toys' reference with seeds added.

The reference draws one section after another in one process. The note has what the report may take: 60 s and 2 GB.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from compare import Row, compare

from bench.records.archive import unpack
from bench.records.seal import read_json, write_json

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results" / "reference" / "toys.tar.xz"
ADDED = {5: 0, 6: 1, 7: 2}  # seed: the one whose records it repeats
BUILD = """
import os, resource, sys
from pathlib import Path
from bench.report.build import build
if sys.argv[2] == "alone":
    os.cpu_count = lambda: 1
build(Path(sys.argv[1]))
of = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
print(sum(resource.getrusage(who).ru_maxrss for who in of) / 1024)
"""


def write(root: Path) -> int:
    """Copy the reference's records, repeat some seeds under new names; returns the number of runs."""
    unpack(REFERENCE, root)
    plan = read_json(root / "plan.json")
    for entry in list(plan["runs"]):
        for seed, old in ADDED.items():
            if entry["seed"] == old:
                run_id = f"{entry['variant']}-s{seed}"
                plan["runs"].append({**entry, "seed": seed, "run_id": run_id})
                (root / "runs" / run_id).mkdir()
                for path in (root / "runs" / entry["run_id"]).glob("*.json"):
                    write_json(root / "runs" / run_id / path.name, {**read_json(path), "seed": seed, "run_id": run_id})
    write_json(root / "plan.json", plan)
    return len(plan["runs"])


def build(root: Path, how: str) -> float:
    """Build the report in a process of its own; peak MiB of it and its largest child together."""
    command = [sys.executable, "-c", BUILD, str(root), how]
    return float(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout)


def rows(rounds: int, data_dir: Path) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        runs, memory = write(root), build(root, "together")
        note = f"{runs} runs, peak {memory:.0f} MiB"
        sides = (lambda: build(root, "together")), (lambda: build(root, "alone"))
        yield compare("report of 512 runs over one process", *sides, rounds, note=note)
