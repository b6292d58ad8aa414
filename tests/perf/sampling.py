"""Sampling by our Dormand-Prince against its floor, and against torchdiffeq's dopri5 at the same tolerance.

The floor is as many bare forward passes of the same network as it took evaluations. What is above it is the solver's
arithmetic; the noise that belongs to each sample is drawn once for all samplers, before the rounds. The error is that
of samples against those of the same noise at a tolerance of 1e-9 in double precision.
"""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from compare import Row, compare
from torch import nn
from training_loop import Ours

from bench.config.registry import baselines, datasets, networks
from bench.config.settings import Training
from bench.evaluation.trained import Trained
from bench.methods.ode import Solver, solve
from bench.samplers.ode import sampler_of

POINTS, STEPS, TOLERANCE = 10_000, 150, 1e-5


class Sampling:
    """Samples of a trained network by a solver; what the last call gave."""

    def __init__(self, trained: Trained, method: str) -> None:
        self.trained, self.way = trained, sampler_of(Solver(method, TOLERANCE, TOLERANCE))
        self()

    def __call__(self) -> None:
        (batch,) = self.trained.batches("perf", self.way, POINTS, POINTS)
        self.nfe, self.x = int(batch.nfe), batch.x

    def error(self) -> float:
        """The root mean square error."""
        exact = copy.deepcopy(self.trained.module).double()
        with torch.no_grad():
            noise = self.trained.noise(0, POINTS).double()
            end = solve(lambda t, x: exact(t.expand(len(x)), x), noise, (0.0, 1.0), Solver("dopri5", 1e-9, 1e-9))[-1]
        return float((self.x - self.trained.dataset.decode(end)).square().mean().sqrt())


def passes(module: nn.Module, count: int) -> Callable[[], None]:
    t, x = torch.full((POINTS,), 0.5), torch.randn(POINTS, 2)

    def work() -> None:
        with torch.no_grad():
            for _ in range(count):
                module(t, x)

    return work


def rows(rounds: int, data_dir: Path) -> Iterator[Row]:
    dataset, baseline = datasets["checkerboard"](data_dir), baselines["fm_ot"]()
    for name, width, depth, target in (("5x512 MLP", 512, 5, "at most 1.10"), ("4x64 MLP", 64, 4, "at most 1.15")):
        module = networks["mlp"]((2,), width=width, depth=depth)
        Ours("perf", Training(steps=1, lr=2e-3), baseline, module, dataset, seed=0).run(STEPS)
        module.requires_grad_(False)
        trained = Trained(baseline, module, dataset, 0, "cpu")
        ours = Sampling(trained, "dormand_prince")
        note = f"{ours.nfe} evaluations of a network trained for {STEPS} steps"
        what, floor = f"10,000 samples, {name}, over NFE x forward", passes(module, ours.nfe)
        yield compare(what, ours, floor, rounds, "s", None, target, note)
    # Of the small network, where solvers differ: of the other all time is its own.
    theirs = Sampling(trained, "dopri5")
    note = f"NFE {ours.nfe} and {theirs.nfe}, errors {ours.error():.1e} and {theirs.error():.1e}"
    what = f"10,000 samples, {name}, over torchdiffeq's"
    yield compare(what, ours, theirs, rounds, "s", None, "at most 0.65", note)
