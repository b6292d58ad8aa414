"""What options of a training cost and gain: bf16 over fp32, coupled pairs over independent ones.

Coupled pairs are trained with in one thread, as a worker does, so that on two cores one is free to find the next plan.
They come last, in here and of all benchmarks, as they change the number of threads of the process.
"""

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from compare import Row, calls, compare
from training_loop import LENGTH, Ours

from bench.config.registry import baselines, datasets, networks
from bench.config.settings import Training
from bench.training.ahead import pays


def rows(rounds: int, data_dir: Path) -> Iterator[Row]:
    points, images = datasets["checkerboard"](data_dir), datasets["digits"](data_dir)
    small, large = (networks["mlp"]((2,), width=width, depth=depth) for width, depth in ((64, 4), (512, 5)))
    unet = networks["unet"]((1, 8, 8), channels=[32, 64], layers=1)
    for name, network, data, batch in (
        ("4x64 MLP", small, points, 512),
        ("5x512 MLP", large, points, 512),
        ("U-Net on digits", unet, images, 128),
    ):
        half, full = (
            Ours(
                "perf",
                Training(steps=1, batch=batch, lr=1e-3, precision=precision),
                baselines["fm_ot"](),
                copy.deepcopy(network),
                data,
                seed=0,
            )
            for precision in ("bf16", "fp32")
        )
        half.run(4)
        steps = calls(lambda full=full: full.run(4), LENGTH) * 4
        yield compare(
            f"training in bf16 over fp32, {name}, batch {batch}",
            lambda half=half, steps=steps: half.run(steps),
            lambda full=full, steps=steps: full.run(steps),
            rounds,
            "steps/s",
            steps,
        )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for batch, target in ((256, "at most 1.50"), (512, "")):
        settings = Training(steps=1, batch=batch, lr=1e-3)
        coupled, plain = (
            Ours("perf", settings, baselines[name](), copy.deepcopy(small), points, seed=0)
            for name in ("ot_cfm", "fm_ot")
        )
        coupled.run(8)
        steps = calls(lambda plain=plain: plain.run(4), LENGTH) * 4
        row = compare(
            f"a step of OT-CFM over one of FM, 4x64 MLP, batch {batch}, 1 thread",
            lambda coupled=coupled, steps=steps: coupled.run(steps),
            lambda plain=plain, steps=steps: plain.run(steps),
            rounds,
            "s",
            target=target,
        )
        ahead = "in a thread of its own" if pays(coupled.baseline, "cpu") else "in the loop: no core is free"
        yield replace(row, note=f"{steps} steps, plans found {ahead}")
    torch.set_num_threads(threads)
