"""Five seeds of a small network trained together against one after the other, by one core, in runs an hour.

Both sides are the harness's own loop, of training alone. Before they are timed both train the same runs for a few
steps, and must end at the same weights.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from compare import Row, calls, compare
from training_loop import Ours

from bench.config.registry import baselines, datasets, networks
from bench.config.settings import Training
from bench.datasets.base import Dataset
from bench.training.stack import Member, Stack
from bench.training.stack_check import check

SEEDS, LENGTH = 5, 0.5  # runs of a stack, and seconds that one side takes in a round
TARGETS = {32: "at least 2.5", 128: "at least 2.5", 512: "at least 2.5"}  # by the batch


class Together:
    """A stack that can be trained anew for any number of steps."""

    def __init__(self, runs: list[Ours]) -> None:
        check(runs)
        self.runs = runs

    def run(self, steps: int) -> None:
        for run in self.runs:
            run.step = 0
            run.settings = run.settings.model_copy(update={"steps": steps})
        Stack([Member(run, Path(), lambda module: [], lambda text: None) for run in self.runs]).train()


def runs_of(dataset: Dataset, batch: int) -> list[Ours]:
    found = []
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        network = networks["mlp"]((2,), width=64, depth=4)
        found.append(
            Ours("perf", Training(steps=1, batch=batch, lr=1e-3), baselines["fm_ot"](), network, dataset, seed)
        )
    return found


def rows(rounds: int, data_dir: Path) -> Iterator[Row]:
    dataset = datasets["checkerboard"](data_dir)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for batch, target in TARGETS.items():
            alone, together = runs_of(dataset, batch), Together(runs_of(dataset, batch))

            def one_by_one(steps: int, alone: list[Ours] = alone) -> None:
                for run in alone:
                    run.run(steps)

            one_by_one(8)
            together.run(8)
            pairs = [
                (a, b)
                for one, other in zip(alone, together.runs, strict=True)
                for a, b in zip(one.parameters, other.parameters, strict=True)
            ]
            apart = max(float((a - b).detach().abs().max()) for a, b in pairs)
            steps = calls(lambda one_by_one=one_by_one: one_by_one(4), LENGTH) * 4
            yield compare(
                f"4x64 MLP, batch {batch}, {SEEDS} seeds in a stack over one by one",
                lambda together=together, steps=steps: together.run(steps),
                lambda one_by_one=one_by_one, steps=steps: one_by_one(steps),
                rounds,
                "steps/s",
                steps * SEEDS,
                target,
                f"one thread; after 8 steps no weight is further apart than {apart:.0e}",
            )
    finally:
        torch.set_num_threads(threads)
