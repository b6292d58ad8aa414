"""Short runs on a small network: two workers of one thread against one worker of two threads, in runs an hour.

What a second thread gains on such a network, and what two cores take from each other, bounds the ratio: the bare loop
of tests/perf/training_loop.py, in the same processes, has that bound. The workers are processes that stay alive between
runs, as the local launcher's are; importing is not timed. `python tests/perf/workers.py LOOP THREADS` is such a worker:
it answers every line with a finished run.
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
from training_loop import Bare, Ours

from bench.config.registry import baselines, datasets, networks
from bench.config.settings import Training

SETTINGS = Training(steps=1, batch=512, lr=1e-3)
STEPS, RUNS = 400, 4  # of one run, and runs that one side does in a round
NAME = "4x64 MLP, two workers of one thread over one of two"
BARE = f"{NAME}, bare"


def work(loop: str, threads: int) -> None:
    torch.set_num_threads(threads)
    dataset, baseline, settings = datasets["checkerboard"](Path("data")), baselines["fm_ot"](), SETTINGS
    print("ready", flush=True)
    for _ in sys.stdin:
        module = networks["mlp"]((2,), width=64, depth=4)
        bare = loop == "bare"
        run = Bare(module, dataset, settings, 0) if bare else Ours("perf", settings, baseline, module, dataset, 0)
        run.run(STEPS)
        print("done", flush=True)


class Team:
    """Worker processes that share out the runs of a round evenly."""

    def __init__(self, stack: ExitStack, workers: int, threads: int, loop: str) -> None:
        self.each = RUNS // workers
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        pipe = subprocess.PIPE
        command = [sys.executable, __file__, loop, str(threads)]
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
        yield from (Row(name, note=f"needs two cores, there is {cores}") for name in (BARE, NAME))
        return
    note, bound = f"{RUNS} runs of {STEPS} steps a round", ""
    for name, loop, target in ((BARE, "bare", ""), (NAME, "ours", "at least 1.9")):
        with ExitStack() as stack:
            two, one = Team(stack, 2, 1, loop), Team(stack, 1, 2, loop)
            row = compare(name, two, one, rounds, "runs/h", RUNS * 3600, target, note + bound)
        bound = f"; the bare loop's ratio, which bounds it, is {row.ratio:.2f}"
        yield row


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]))
