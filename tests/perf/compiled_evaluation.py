"""Samples of a small U-Net by compiled code against the network as it is: digits of 8 x 8 pixels, a full batch.

Compiling takes a minute or two on a CPU, which no round has.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from compare import Row, compare
from torch import Tensor, nn

from bench.config.components import build_baseline, build_network
from bench.config.plan import plan
from bench.config.registry import datasets
from bench.config.suite import load_suite
from bench.evaluation.trained import Trained
from bench.methods.compilation import Compilation
from bench.methods.ode import Solver
from bench.samplers.ode import sampler_of

STEPS = 8


def rows(rounds: int, data_dir: Path) -> Iterator[Row]:
    name, suite = load_suite("images")
    run = next(run for run in plan(name, suite, "small") if run.baseline.name == "fm_ot")
    assert run.evaluation.samples
    batch, dataset = run.evaluation.samples.batch, datasets[run.dataset.name](data_dir)
    torch.manual_seed(0)
    net = build_network(run.network, dataset).eval().requires_grad_(False)
    for parameter in net.parameters():  # its last layer starts at zero
        if not parameter.any():
            nn.init.normal_(parameter, std=0.05)
    plain = Trained(build_baseline(run.baseline), net, dataset, 0, "cpu")
    compiled, way = replace(plain, compilation=Compilation(batch)), sampler_of(Solver("euler", steps=STEPS))

    def draw(trained: Trained) -> Tensor:
        with torch.no_grad(), trained.compilation.drawing(batch):
            return trained.draw(way, 0, batch)[0]

    apart = float((draw(compiled) - draw(plain)).abs().max())
    note = f"apart by {apart:.0e} at most; compiled in {compiled.compilation.seconds:.0f} s"
    title = f"{batch} samples of the U-Net on digits, compiled over as it is"
    evaluations = batch * STEPS
    yield compare(title, lambda: draw(compiled), lambda: draw(plain), rounds, "1/s", evaluations, note=note)
