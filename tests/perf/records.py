"""Records by the thousand: `--status` over 5,000 of them, and the frame of 200,000 rows, in seconds and in memory.

The reference of a status starts Python and parses the same files, and that of the frame starts pandas, too, and makes
one dictionary a row. `python tests/perf/records.py parsed|frame|dictionaries FOLDER` is one of them in a process of its
own; it prints its seconds and its peak memory in MiB.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[2]))

from compare import Row, compare

from bench.config.plan import plan
from bench.config.settings import STAGES
from bench.config.suite import Run, load_suite
from bench.records import planned, records
from bench.records.frame import read_frame
from bench.records.records import Measurement

ROOT = Path(__file__).parents[2]
SUITE = """
about = "synthetic records"
seeds = {seeds}

[[experiments]]
dataset = ["checkerboard", "moons", "circles", "rings", "pinwheel"]
network = {{ name = "mlp", width = 64, depth = 4 }}
baselines = [
    "fm_ot", "fm_diffusion", "score_matching", "scoreflow", "ddpm", "ot_cfm", "ffjord", "rnode", "sr3", "regression",
]
training = {{ steps = 3000, batch = 512, lr = 4e-3, warmup = 100, decay = "cosine", clip = 1.0, ema = 0.999 }}
evaluation.likelihood = {{ n = 2000, solvers = [{{}}, {{ method = "midpoint", steps = 20 }}] }}
evaluation.samples = {{ n = 10000, w2_n = 2000 }}
evaluation.sweep = {{ n = 1000, nfe = [4, 8, 10, 20, 40], tolerances = [1e-1, 1e-2, 1e-3] }}
"""
ROWS = {"train": 12, "likelihood": 10, "samples": 10, "sweep": 64}  # of one record: 6 kB, and 22 kB of a sweep
FACTS = {
    "label": "Synthetic",
    "dataset_version": "1:13d7b51224075d0c",
    "parameters": 12866,
    "steps": 3000,
    "options": {"sigma_min": 0.0},
    "device": "cpu (synthetic, 1 thread of 2)",
    "device_count": 1,
    "commit": "0123456789",
    "versions": {"python": "3.11.7", "torch": "2.15.0", "torchdiffeq": "0.2.5", "diffusers": "0.42.1", "POT": "0.9.7"},
}


def measurements(count: int, seed: int) -> list[Measurement]:
    """Rows of a sweep's kind: settings that repeat from run to run, and values that do not."""
    solvers = ("euler", "midpoint", "rk4", "dopri5")
    return [
        Measurement(
            ("w2", "nfe_sampling", "sampling_seconds")[i % 3],
            1 / (1 + i + seed),
            n=1000,
            settings={
                "sampler": solvers[i % 4],
                "solver": solvers[i % 4],
                "steps": 4 + i // 4,
                "nfe": float(4 + i),
                "batch": 1000,
                "weights": "ema",
                "split": "test",
            },
        )
        for i in range(count)
    ]


def write(folder: Path, seeds: int, rows: dict[str, int]) -> tuple[Path, list[Run]]:
    """A suite's file of 50 runs a seed, and the records of all four stages of each under folder/results/synthetic.

    Those of the first seed are written as a run writes them, those of the others are copied from them.
    """
    suite = folder / "synthetic.toml"
    suite.write_text(SUITE.format(seeds=list(range(seeds))))
    root = folder / "results" / "synthetic"
    runs = plan(*load_suite(str(suite)))
    with mock.patch("os.fsync"):
        first = {run.variant: run for run in runs if run.seed == 0}
        for i, run in enumerate(first.values()):
            for stage in STAGES:
                records.write_stage(root, run, stage, measurements(rows[stage], i), FACTS)
        for run in runs:
            if run.seed:
                copy(root, first[run.variant], run)
        planned.write_plan(root, "synthetic records", runs)
    return suite, runs


def copy(root: Path, origin: Run, run: Run) -> None:
    """The records of a run as those of another seed."""
    folder = records.run_folder(root, run.run_id)
    folder.mkdir()
    names = [f'"{origin.run_id}', f'"seed": {origin.seed}'], [f'"{run.run_id}', f'"seed": {run.seed}']
    for stage in STAGES:
        _, text = records.record_path(root, origin.run_id, stage).read_text(encoding="utf-8").split('",\n', 1)
        for old, new in zip(*names, strict=True):
            text = text.replace(old, new)
        sealed = f'{{\n "digest": "{hashlib.sha256(text.encode()).hexdigest()}",\n{text}'
        (folder / f"{stage}.json").write_text(sealed, encoding="utf-8")


def dictionaries(root: Path) -> object:
    """The frame of the simplest kind: one dictionary a measurement, with nothing checked."""
    import pandas as pd

    found = []
    for path in sorted(root.glob("runs/*/*.json")):
        record = json.loads(path.read_text())
        for row in record["measurements"]:
            found.append({**record, **row, "settings": json.dumps(row["settings"], sort_keys=True)})
            for key in ("config", "measurements", "options", "versions"):
                del found[-1][key]
    return pd.DataFrame(found)


def parsed(root: Path) -> object:
    """Every record read and forgotten."""
    return sum("measurements" in json.loads(path.read_bytes()) for path in root.glob("runs/*/*.json"))


def peak_mib() -> float:
    """The most memory that this process has held; getrusage would begin with that of the parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def side(kind: str, root: Path) -> tuple[float, float]:
    """Seconds and peak MiB of one way of reading the records, in a process of its own."""
    command = [sys.executable, __file__, kind, str(root)]
    seconds, memory = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(seconds), float(memory)


def rows(rounds: int, data_dir: Path) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        suite, runs = write(folder, 25, ROWS)
        results = folder / "results"
        where = ["--suite", str(suite), "--results", str(results)]

        def status() -> None:
            command = [sys.executable, str(ROOT / "run_all.py"), *where, "--status"]
            out = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout
            assert out.endswith(f"{len(runs)} ok\n")

        def bare() -> None:
            subprocess.run(
                [sys.executable, __file__, "parsed", str(results / "synthetic")], check=True, capture_output=True
            )

        status(), bare()
        yield compare("--status of 5,000 records over parsing them", status, bare, rounds, note=f"{len(runs)} runs")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, 10, dict.fromkeys(STAGES, 100))
        root = folder / "results" / "synthetic"
        ours, reference = zip(*((side("frame", root), side("dictionaries", root)) for _ in range(rounds)), strict=True)
        for i, unit in enumerate(("s", "MiB")):
            values = [tuple(pair[i] for pair in pairs) for pairs in (ours, reference)]
            yield Row("frame of 200,000 rows over a dictionary a row", unit, *values, note="500 runs, 2,000 records")


if __name__ == "__main__":
    ways: dict[str, Callable[[Path], object]] = {
        "parsed": parsed,
        "frame": read_frame,
        "dictionaries": dictionaries,
    }
    begun = time.perf_counter()
    kept = ways[sys.argv[1]](Path(sys.argv[2]))
    print(time.perf_counter() - begun, peak_mib())
