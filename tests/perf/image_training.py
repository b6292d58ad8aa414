"""Training on images, every baseline of the suite cifar10: our loop against a bare one with the same U-Net and loss.

On a GPU this is the suite's `small` protocol, on a CPU its `smoke` one; where there is no GPU its rows are holes. Both
sides train on CIFAR-10's pixels with gradient clipping and averaged weights. Model FLOP utilisation counts the products
and convolutions of a step by torch's FlopCounterMode, with those of the backward pass, against the rate of the largest
square matrix product in the same precision, measured in the same run.
"""

import copy
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from statistics import median

import torch
from compare import Row, calls, compare
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from training_loop import Ours

from bench.config.components import build_baseline, build_network
from bench.config.plan import plan
from bench.config.registry import datasets
from bench.config.settings import Training
from bench.config.suite import Run, load_suite
from bench.datasets.base import Dataset
from bench.errors import UsageError
from bench.evaluation.clock import now, peak_memory, reset_peak_memory
from bench.methods.baseline import Baseline
from bench.methods.cnf import SimulatedBaseline
from bench.methods.network import CountedNetwork
from bench.training.precision import in_training

LENGTH = 1.5  # seconds that one side takes in a round
TARGET = "at least 0.97"
ORDER = {"cpu": 2048, "cuda": 8192}


class Bare:
    """Batch, loss, backward, clip, Adam, average: nothing else."""

    def __init__(
        self, module: nn.Module, dataset: Dataset, baseline: Baseline, settings: Training, device: str
    ) -> None:
        if settings.channels_last:
            module = module.to(memory_format=torch.channels_last)
        self.net = CountedNetwork(module, settings.compile)
        self.dataset, self.baseline, self.settings, self.device = dataset, baseline, settings, device
        self.data = dataset.train.to(device)
        self.parameters = list(module.parameters())
        self.average = [p.detach().clone() for p in self.parameters]
        self.optimizer = torch.optim.Adam(self.parameters, lr=settings.lr, fused=True)
        self.rng = torch.Generator(device).manual_seed(0)

    def loss(self) -> torch.Tensor:
        index = torch.randint(len(self.data), (self.settings.batch,), generator=self.rng, device=self.device)
        x1 = self.dataset.encode(self.data[index], self.rng)
        bf16 = self.settings.precision == "bf16"
        with torch.autocast(self.device, torch.bfloat16) if bf16 else nullcontext():
            return self.baseline.loss(self.net, x1, self.rng).mean()

    def run(self, steps: int) -> None:
        with in_training(self.settings.precision, self.device):
            for _ in range(steps):
                loss = self.loss()
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(self.parameters, self.settings.clip)
                self.optimizer.step()
                with torch.no_grad():
                    torch._foreach_lerp_(self.average, self.parameters, 1 - self.settings.ema)
        now(self.device)


def rows(rounds: int, data_dir: Path) -> Iterator[Row]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name, suite = load_suite("cifar10")
    protocol = "small" if device == "cuda" else "smoke"
    try:
        dataset = datasets["cifar10"](data_dir)
    except UsageError as error:
        yield Row("training on CIFAR-10", note=str(error))
        return
    runs = plan(name, suite, protocol)
    peaks = {precision: product_rate(device, precision) for precision in {run.training.precision for run in runs}}
    for run in runs:
        name = f"training on CIFAR-10, {run.baseline.name}, {protocol}"
        yield side_by_side(name, run, dataset, device, rounds, peaks[run.training.precision])
    if device == "cpu":
        for run in plan("cifar10", suite, "small"):
            yield Row(f"training on CIFAR-10, {run.baseline.name}, small, cuda", note="no GPU here")


def side_by_side(
    name: str, run: Run, dataset: Dataset, device: str, rounds: int, peak: float, length: float = LENGTH
) -> Row:
    """Our loop and the bare one on a run's network, loss and settings.

    Args:
        peak: FLOP/s that utilisation is a share of.
        length: seconds that one side takes in a round.
    """
    torch.manual_seed(0)
    module = build_network(run.network, dataset).to(device)
    baseline = build_baseline(run.baseline)
    # Without micro-batches: the bare loop takes a batch at once, a quarter of it where every step solves an ODE.
    batch = run.training.batch // (4 if isinstance(baseline, SimulatedBaseline) else 1)
    bare_of = {"steps": 1, "seconds": None, "batch": batch, "micro_batch": None, "warmup": 0, "curve_points": 0}
    settings = run.training.model_copy(update=bare_of)
    bare = Bare(copy.deepcopy(module), dataset, baseline, settings, device)
    ours = Ours("perf", settings, baseline, module, dataset, seed=0)
    begun = now(device)
    bare.run(1)
    warm = now(device) - begun
    steps = calls(lambda: bare.run(1), length)
    ours.run(1)
    reset_peak_memory(device)
    ours.run(1)
    memory = peak_memory(device) / 2**20
    row = compare(
        f"{name}, batch {settings.batch}, {device}",
        lambda: ours.run(steps),
        lambda: bare.run(steps),
        rounds,
        "images/s",
        steps * settings.batch,
        TARGET,
    )
    rate = median(row.ours)
    note = f"{1000 * settings.batch / rate:.4g} ms a step, peak {memory:,.0f} MiB, {settings.precision}"
    note += f", first step {warm:.3g} s"
    if isinstance(baseline, SimulatedBaseline):  # the counter knows no derivative of a derivative
        note += ", FLOP not counted"
    else:
        flops = step_flops(bare)
        share = rate / settings.batch * flops / peak
        note += f", {flops / 1e9:.4g} GFLOP a step, {share:.0%} of the matrix product's {peak / 1e9:,.0f} GFLOP/s"
    return Row(row.name, row.unit, row.ours, row.reference, row.target, note)


def step_flops(bare: Bare) -> float:
    """Floating-point operations of the products and convolutions of one loss and its gradient."""
    eager = CountedNetwork(bare.net.module)
    compiled, bare.net = bare.net, eager
    try:
        with FlopCounterMode(display=False) as counter:
            bare.loss().backward()
    finally:
        bare.net = compiled
    return float(counter.get_total_flops())


def product_rate(device: str, precision: str) -> float:
    """FLOP/s of a large square matrix product, the best of five."""
    order = ORDER[device]
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    a, b = torch.randn(2, order, order, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(6):
        begun = now(device)
        a @ b
        best = min(best, now(device) - begun)
    return 2 * order**3 / best
