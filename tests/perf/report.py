"""A whole report, every figure, table, verdict and the page: suite toys' reference with seeds added.

That of 512 runs is compared with one section after another in one process; that of 2,048 with what it may take.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from compare import Row, compare, seconds, share

from bench.records.archive import unpack
from bench.records.seal import read_json, write_json

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results" / "reference" / "toys.tar.xz"
MEASURED = 5  # seeds of the reference, which those after them repeat
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


def write(root: Path, seeds: int) -> int:
    """Copy the reference's records, and repeat them as those of further seeds; returns the number of runs."""
    unpack(REFERENCE, root)
    plan = read_json(root / "plan.json")
    for entry in list(plan["runs"]):
        paths = list((root / "runs" / entry["run_id"]).glob("*.json"))
        read = {path.name: read_json(path) for path in paths}
        for seed in range(entry["seed"] + MEASURED, seeds, MEASURED):
            run_id = f"{entry['variant']}-s{seed}"
            plan["runs"].append({**entry, "seed": seed, "run_id": run_id})
            (root / "runs" / run_id).mkdir()
            for name, record in read.items():
                write_json(root / "runs" / run_id / name, {**record, "seed": seed, "run_id": run_id})
    write_json(root / "plan.json", plan)
    return len(plan["runs"])


def build(root: Path, how: str) -> float:
    """Build the report in a process of its own; peak MiB of it and its largest child together."""
    command = [sys.executable, "-c", BUILD, str(root), how]
    return float(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout)


def rows(rounds: int, data_dir: Path) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        runs, memory = write(root, 8), build(root, "together")
        note = f"{runs} runs, peak {memory:.0f} MiB"
        sides = (lambda: build(root, "together")), (lambda: build(root, "alone"))
        yield compare("report of 512 runs over one process", *sides, rounds, note=note)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        runs, peaks = write(root, 32), list[float]()
        taken = tuple(seconds(lambda: peaks.append(build(root, "together"))) for _ in range(min(rounds, 2)))
        note = f"{runs} runs, measured {len(taken)} times"
        yield share("report of 2,048 runs", "s", taken, 120, note)
        said = "the command and its largest process together"
        yield share("report of 2,048 runs, memory", "MiB", tuple(peaks), 1536, f"{note}; {said}")
