"""What a large study asks of the command: `--status` over 20,000 records, and 10,000 runs planned and submitted.

The first call of a status reads every record, a later one what was kept of them. PERF_BASE names a checkout of another
commit, whose status is timed turn by turn. Slurm is a stub that takes arrays of 1001 tasks.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from compare import Row, base, share
from records import ROWS, SUITE, write

from bench.records.index import KEPT_IN
from bench.records.stamps import SETTLED

ROOT = Path(__file__).resolve().parents[2]
SEEDS, TO_SUBMIT = 100, 200  # of 50 runs each; a run has 4 records
PROGRAMS = {
    "sbatch": 'echo >> "$ARRAYS"; echo Submitted batch job $(grep -c "" "$ARRAYS")',
    "srun": "exit 1",
    "squeue": "exit 0",
    "sacct": "exit 1",
    "scontrol": "echo 'MaxArraySize            = 1001'",
}


def command(
    arguments: list[str], folder: Path, checkout: Path = ROOT, more: Mapping[str, str] | None = None
) -> tuple[float, str]:
    """Seconds of a command by the code of a checkout, and what it prints."""
    begun = time.perf_counter()
    line = [sys.executable, str(checkout / "run_all.py"), *arguments]
    done = subprocess.run(line, cwd=folder, env={**os.environ, **(more or {})}, stdout=subprocess.PIPE, text=True)
    taken = time.perf_counter() - begun
    if done.returncode:
        raise RuntimeError(f"{' '.join(line)}: exit code {done.returncode}")
    return taken, done.stdout


def statuses(rounds: int) -> Iterator[Row]:
    before_us, commit = base()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        suite, runs = write(folder, SEEDS, ROWS)
        arguments = ["--suite", str(suite), "--results", str(folder / "results"), "--status"]
        time.sleep(SETTLED + 1)  # nothing is kept of a record that has just been written
        first, later, before = list[float](), list[float](), list[float]()
        for _ in range(rounds):
            (folder / "results" / "synthetic" / KEPT_IN).unlink(missing_ok=True)
            for taken in (first, later):
                seconds, said = command(arguments, folder)
                if not said.endswith(f"{len(runs)} ok\n"):
                    raise RuntimeError(f"not every record was read: {said[-200:]}")
                taken.append(seconds)
            if before_us:
                before.append(command(arguments, folder, Path(before_us))[0])
        what, note = f"--status of {4 * len(runs):,} records", f"{len(runs)} runs"
        for call, taken in (("first", first), ("later", later)):
            yield share(f"{what}, {call} call", "s", tuple(taken), 3, note)
        if before:
            said = f"{note}, against a call by the code of {commit}"
            yield Row(f"{what}, later call", "s", tuple(later), tuple(before), note=said)


def submissions(rounds: int) -> Iterator[Row]:
    """Of a round of a minute two are enough."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bin").mkdir()
        for program, script in PROGRAMS.items():
            (folder / "bin" / program).write_text(f"#!/bin/sh\n{script}\n")
            (folder / "bin" / program).chmod(0o755)
        suite = folder / "synthetic.toml"
        suite.write_text(SUITE.format(seeds=list(range(TO_SUBMIT))))
        taken, counts = list[float](), list[int]()
        for i in range(min(rounds, 2)):
            stub = {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "ARRAYS": str(folder / f"arrays{i}")}
            arguments = ["--suite", str(suite), "--results", str(folder / f"results{i}"), "--cluster", "slurm"]
            taken.append(command(arguments, folder, more=stub)[0])
            counts.append(len(list((folder / f"results{i}" / "synthetic" / "runs").glob("*/slurm.json"))))
        arrays = (folder / "arrays0").read_text().count("\n")
        note = f"{counts[0]} runs in {arrays} arrays of at most 1001; measured {len(taken)} times"
        yield share("planning and submitting 10,000 runs", "s", tuple(taken), 60, note)


def rows(rounds: int, data_dir: Path) -> Iterator[Row]:
    yield from statuses(rounds)
    yield from submissions(rounds)
