"""A suite whose processes are killed over and over ends with the records of one that was left alone.

`pytest tests/test_kills.py --kills 100` kills more often. A kill is SIGKILL to the launcher, to its workers or to all,
at a random moment of their work (seeded); the same command is then called again.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import warm
from tiny import write_suite

from bench.records.frame import read_frame
from bench.records.locks import locked

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_interpreters")]

REPOSITORY = Path(__file__).parents[1]
KILLS_A_SUITE = 6
SUITE = """
protocol = "smoke"
seeds = [0]
[[experiments]]
dataset = { name = "gaussian", dim = 2, n_train = 256, n_test = 60 }
network = { name = "mlp", width = 8, depth = 1 }
baselines = ["fm_ot", "ddpm"]
training = { steps = 600, batch = 16, ema = 0.9, checkpoint_seconds = 0.05, curve_points = 2, curve_n = 20 }
evaluation.likelihood = { n = 60, batch = 10 }
evaluation.samples = { n = 60, batch = 10, w2_n = 60, path_n = 20, path_times = 5 }
evaluation.sweep = { n = 60, batch = 10, nfe = [4, 8], tolerances = [1e-2], error_n = 20 }
overrides.ddpm = { options.ancestral_steps = 20, options.ddim_steps = 10 }
"""


class Sweep:
    """One results folder with the command that fills it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "results" / "tiny"
        self.sessions: list[int] = []  # of every call's processes
        suite = str(write_suite(folder, SUITE))
        arguments = ["--suite", suite, "--results", str(folder / "results"), "--device", "cpu", "--workers", "2"]
        self.command = [sys.executable, str(REPOSITORY / "run_all.py"), *arguments, "--retry"]
        self.command += ["--data-dir", str(folder / "data")]

    def start(self) -> "subprocess.Popen[str]":
        with (self.folder / "said.txt").open("a", encoding="utf-8") as said:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            process = subprocess.Popen(
                self.command, stdout=said, stderr=said, env=environment, text=True, start_new_session=True
            )
            self.sessions.append(process.pid)
            return process

    def worked_on(self, since: float) -> bool:
        """Whether a run has said something since then."""
        return any(path.stat().st_mtime > since for path in self.root.glob("runs/*/log.txt"))

    def end(self) -> int:
        return self.start().wait(timeout=900)

    @property
    def said(self) -> str:
        return (self.folder / "said.txt").read_text(encoding="utf-8")

    def processes(self) -> list[int]:
        """Every process of this folder that lives, the launcher's workers among them."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                state, _, _, session, *_ = (path / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(session) in self.sessions and state != "Z":
                found.append(int(path.name))
        return found


def kill(sweep: Sweep, launcher: int, whom: str) -> None:
    workers = [pid for pid in sweep.processes() if pid != launcher]
    for pid in {"launcher": [launcher], "workers": workers, "all": [launcher, *workers]}[whom]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def content(root: Path) -> tuple[dict[tuple[str, ...], str], dict[str, Any]]:
    """Every value of the records and every array, without clocks and memory."""
    table = read_frame(root)
    assert set(table.status) == {"ok"}
    rows = {}
    for row in table.itertuples():
        if "seconds" in row.metric or row.metric == "peak_memory_bytes":
            continue
        settings = {k: v for k, v in json.loads(row.settings).items() if "seconds" not in k}
        key = (row.run_id, row.stage, row.metric, json.dumps([settings, row.step], sort_keys=True))
        assert key not in rows
        rows[key] = repr((row.value, row.stderr, row.n, row.reason))  # so that one missing number equals another
    arrays = {}
    for path in sorted(root.glob("runs/*/*.npz")):
        with np.load(path) as file:
            arrays |= {f"{path.parent.name}/{path.stem}/{name}": file[name] for name in file.files}
    return rows, arrays


def leftovers(root: Path) -> list[str]:
    names = [str(path.relative_to(root)) for path in root.rglob("*")]
    return [n for n in names if any(part in n for part in (".part", "partial-", ".corrupt", ".new", "rank-error"))]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sweep = Sweep(tmp_path_factory.mktemp("undisturbed"))
    with warm.interpreters():
        assert sweep.end() == 0, sweep.said
    return sweep.root


def test_records_are_the_same_however_often_it_is_killed(
    tmp_path: Path, undisturbed: Path, request: pytest.FixtureRequest
) -> None:
    wanted: int = request.config.getoption("--kills")
    rng = random.Random(wanted)
    expected_rows, expected_arrays = content(undisturbed)
    assert len(expected_rows) > 40
    kills = suites = 0
    while kills < wanted:
        folder = tmp_path / f"suite-{suites}"
        folder.mkdir()
        sweep, here, suites = Sweep(folder), 0, suites + 1
        while kills < wanted and here < KILLS_A_SUITE:
            begun = time.time()
            launcher = sweep.start()
            while launcher.poll() is None and not sweep.worked_on(begun):
                time.sleep(0.05)
            try:
                launcher.wait(rng.uniform(0, 2.5))
                break  # all of it is done
            except subprocess.TimeoutExpired:
                kill(sweep, launcher.pid, rng.choice(["launcher", "workers", "all"]))
            kills, here = kills + 1, here + 1
            launcher.wait(timeout=900)
        assert sweep.end() == 0, sweep.said
        rows, arrays = content(sweep.root)
        assert rows == expected_rows
        assert arrays.keys() == expected_arrays.keys()
        for name, array in expected_arrays.items():
            assert np.array_equal(arrays[name], array, equal_nan=True), name
        assert (sweep.root / "report.html").exists()
        assert leftovers(sweep.root) == []
        for lock in sweep.root.glob("runs/*/lock"):
            with locked(lock, wait=False) as mine:
                assert mine, f"{lock} is held"
        deadline = time.monotonic() + 30
        while (left := sweep.processes()) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert left == [], "orphans"
