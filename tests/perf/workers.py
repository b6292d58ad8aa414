"""Short runs on a small network: two workers of one thread against one worker of two threads, in runs an hour.

The workers are processes that stay alive between runs, as the local launcher's are; importing is not timed.
`python tests/perf/workers.py THREADS` is such a worker: it answers every line with a finished run.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from compare import Row, compare
from training_loop import Ours

from bench.config.registry import baselines, datasets, networks
from bench.config.settings import Training

STEPS, RUNS = 800, 4  # of one run, and runs that one side does in a round
NAME = "4x64 MLP, two workers of one thread over one of two"


def work(threads: int) -> None:
    torch.set_num_threads(threads)
    dataset, baseline = datasets["checkerboard"](Path("data")), baselines["fm_ot"]()
    print("ready", flush=True)
    for _ in sys.stdin:
        module = networks["mlp"]((2,), width=64, depth=4)
        Ours("perf", Training(steps=1, batch=512, lr=1e-3), baseline, module, dataset, seed=0).run(STEPS)
        print("done", flush=True)


class Team:
    """Worker processes that share out the runs of a round evenly."""

    def __init__(self, stack: ExitStack, workers: int, threads: int) -> None:
        self.each = RUNS // workers
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        pipe = subprocess.PIPE
        command = [sys.executable, __file__, str(threads)]
        self.processes = [
            stack.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment))
            for _ in range(workers)
        ]
        self.hear(1)
        self()

    def hear(self, lines: int) -> None:
        for process in self.processes:
            assert process.stdout
            for _ in range(lines):
                if not process.stdout.readline():
                    raise RuntimeError(f"a worker ended with status {process.wait()}")

    def __call__(self) -> None:
        for process in self.processes:
            assert process.stdin
            process.stdin.write("run\n" * self.each)
            process.stdin.flush()
        self.hear(self.each)


def rows(rounds: int, data_dir: Path) -> Iterator[Row]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores < 2:
        yield Row(NAME, note=f"needs two cores, there is {cores}")
        return
    with ExitStack() as stack:
        two, one = Team(stack, 2, 1), Team(stack, 1, 2)
        note = f"{RUNS} runs of {STEPS} steps a round"
        yield compare(NAME, two, one, rounds, "runs/h", RUNS * 3600, "at least 1.8", note)


if __name__ == "__main__":
    work(int(sys.argv[1]))
