"""Memory of one worker over 300 tiny runs that come through its pipe: what it holds after 50 of them and at the end.

All methods take turns, so that what is loaded for the first time is there by the 50th run.
"""

import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from compare import Row

from bench.config.plan import plan
from bench.config.suite import Suite
from bench.launch.job import Job
from bench.launch.pool import _Worker

EARLY, RUNS = 50, 300
SUITE = """
about = "tiny runs"
protocol = "smoke"
seeds = {seeds}

[[experiments]]
dataset = {{ name = "checkerboard", n_train = 1000, n_test = 200 }}
network = {{ name = "mlp", width = 16, depth = 2 }}
baselines = ["fm_ot", "score_matching", "ddpm", "ot_cfm"]
training = {{ steps = 5, batch = 32, lr = 1e-3, ema = 0.9, curve_points = 1, curve_n = 50 }}
evaluation.likelihood = {{ n = 50, batch = 50 }}
evaluation.samples = {{ n = 100, batch = 100, w2_n = 50, path_n = 50, path_times = 5 }}
evaluation.sweep = {{ n = 50, nfe = [4], tolerances = [1e-1], error_n = 16 }}
overrides.ddpm = {{ options.ancestral_steps = 5, options.ddim_steps = 5 }}

[[experiments]]
dataset = "digits"
network = {{ name = "unet", channels = [8, 16], layers = 1 }}
baselines = ["fm_ot"]
training = {{ steps = 2, batch = 8, lr = 1e-3 }}
evaluation.samples = {{ n = 16, batch = 16, path_n = 8, path_times = 3, solver = {{ method = "euler", steps = 2 }} }}
"""


def resident(process: int) -> float:
    """MiB that a process holds now."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def done(worker: _Worker) -> None:
    """Wait for the end of its run, or for it to be ready."""
    while worker.pipe.poll(None):
        for kind, content in worker.messages():
            if kind == "died" or (kind == "done" and content[0] != "ok"):
                raise RuntimeError(f"a run of the worker ended with {content}")
            if kind != "text":
                return


def rows(rounds: int, data_dir: Path) -> Iterator[Row]:
    suite = Suite.model_validate(tomllib.loads(SUITE.format(seeds=list(range(RUNS // 5)))))
    runs = sorted(plan("tiny", suite, settings={"training.stack": False}), key=lambda run: run.seed)
    held = list[float]()
    with tempfile.TemporaryDirectory() as folder:
        worker = _Worker({"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})
        try:
            done(worker)
            for run in runs:
                worker.start(Job(run, Path(folder), data_dir.resolve()))
                done(worker)
                held.append(resident(worker.process.pid))
        finally:
            worker.process.terminate()
            worker.close(grace=5.0)
    note = f"after {EARLY} runs and after {len(held)}, measured once; {held[0]:.0f} MiB after the first"
    yield Row("memory of one worker over 300 runs", "MiB", (held[-1],), (held[EARLY - 1],), "at most 1.05", note)
