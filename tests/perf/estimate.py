"""`--estimate` of a small suite, methods of toys on one dataset, against the CPU seconds that its runs then take.

An estimate is of seconds on the clock: it is to be measured on a machine that does nothing else.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from compare import Row
from suite import DATASET, HERE, elsewhere

METHODS = ("fm_ot", "ddpm", "ot_cfm", "ffjord")


def estimated(data_dir: Path, results: str) -> float:
    """Seconds of all runs on one thread each."""
    what = [
        "--suite",
        "toys",
        "--baselines",
        ",".join(METHODS),
        "--datasets",
        DATASET,
        "--seeds",
        "0",
        "--set",
        "tune=",
    ]
    where = ["--results", results, "--data-dir", str(data_dir.resolve()), "--workers", str(os.cpu_count())]
    line = [sys.executable, "run_all.py", *what, *where, "--estimate", "--json"]
    said = subprocess.run(line, cwd=HERE, stdout=subprocess.PIPE, text=True, check=True).stdout
    return float(sum(json.loads(said)["seconds"].values()))


def rows(rounds: int, data_dir: Path) -> Iterator[Row]:
    """Of a round of minutes two are enough."""
    ours, taken = list[float](), list[float]()
    with tempfile.TemporaryDirectory() as results:
        for _ in range(min(rounds, 2)):
            ours.append(estimated(data_dir, results))
            taken.append(sum(elsewhere(str(HERE), method, data_dir)["run"] for method in METHODS))
    note = f"suite toys, {', '.join(METHODS)} on {DATASET}, one seed; measured {len(ours)} times"
    yield Row("--estimate over the CPU time of the runs", "s", tuple(ours), tuple(taken), "0.67 to 1.50", note)
