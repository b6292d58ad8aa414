"""Sampling by dopri5 against its floor: as many bare forward passes of the same network as it took evaluations.
from bench.samplers.ode import sampler_of

What is above the floor is the solver's arithmetic and the noise that belongs to each sample.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from compare import Row, compare
from training_loop import Ours

from bench.config.registry import baselines, datasets, networks
from bench.config.settings import Training
from bench.evaluation.trained import Trained
from bench.methods.ode import Solver
from bench.samplers.ode import sampler_of

POINTS, STEPS = 10_000, 150


def rows(rounds: int, data_dir: Path) -> Iterator[Row]:
    dataset, baseline = datasets["checkerboard"](data_dir), baselines["fm_ot"]()
    for name, width, depth, target in (("5x512 MLP", 512, 5, "at most 1.10"), ("4x64 MLP", 64, 4, "")):
        module = networks["mlp"]((2,), width=width, depth=depth)
        Ours("perf", Training(steps=1, lr=2e-3), baseline, module, dataset, seed=0).run(STEPS)
        module.requires_grad_(False)
        trained, t, x = Trained(baseline, module, dataset, 0, "cpu"), torch.full((POINTS,), 0.5), torch.randn(POINTS, 2)

        def sample(trained=trained) -> float:
            (batch,) = trained.batches("perf", sampler_of(Solver("dormand_prince", 1e-5, 1e-5)), POINTS, POINTS)
            return batch.nfe

        nfe = int(sample())

        def forward(module=module, t=t, x=x, nfe=nfe) -> None:
            with torch.no_grad():
                for _ in range(nfe):
                    module(t, x)

        note = f"{nfe} evaluations of a network trained for {STEPS} steps"
        yield compare(f"10,000 samples, {name}, over NFE x forward", sample, forward, rounds, "s", None, target, note)
