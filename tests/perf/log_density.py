"""Exact log-density against facebookresearch/flow_matching, on flows in training: Dormand and Prince's steps at 1e-5.

In 64 dimensions the saving is the graph of the derivatives, which theirs keeps; in two, matrix products are nearly all
of the time, and both need the same.
"""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import torch
from compare import Row, compare
from torch import Tensor, nn
from training_loop import Ours

from bench.config.registry import baselines, datasets, networks
from bench.config.settings import Training
from bench.datasets.base import Dataset
from bench.methods.density import log_density, log_normal
from bench.methods.network import CountedNetwork
from bench.methods.ode import Solver

STEPS, TOLERANCE = 400, 1e-5


def theirs(net: CountedNetwork, x: Tensor) -> Callable[[], Tensor]:
    from flow_matching.solver import ODESolver

    solver = ODESolver(lambda x, t: net(t.expand(len(x)), x))
    keywords = {"method": "dopri5", "atol": TOLERANCE, "rtol": TOLERANCE, "exact_divergence": True}
    return lambda: solver.compute_likelihood(x, log_normal, step_size=None, **keywords)[1]


def row(rounds: int, name: str, dataset: Dataset, points: int, module: nn.Module, target: str) -> Row:
    baseline, x = baselines["fm_ot"](), dataset.test[:points]
    Ours("perf", Training(steps=1, batch=512, lr=2e-3), baseline, module, dataset, seed=0).run(STEPS)
    net = CountedNetwork(module)
    solver = Solver("dormand_prince", TOLERANCE, TOLERANCE)

    def ours() -> Tensor:
        return log_density(baseline.velocity(net), x, 1.0, solver).log_p

    other = theirs(net, x)
    apart, rows = ours() - other(), net.rows
    ours()
    note = f"apart by {float(apart.mean().abs()):.0e} nats in the mean and {float(apart.abs().max()):.0e} at most; "
    note += f"NFE {(net.rows - rows) / len(x):g} and {(2 * rows - net.rows) / len(x):g}"
    return compare(name, ours, other, rounds, "points/s", points, target, note)


def rows(rounds: int, data_dir: Path) -> Iterator[Row]:
    torch.manual_seed(0)
    for dim, points, target in ((2, 2000, "at least 2.2"), (64, 360, "at least 1.9")):
        name = f"exact log-density, d = {dim}, {points} points, 4x128 MLP"
        if find_spec("flow_matching") is None:
            yield Row(name, note="flow_matching is not installed: pip install --no-deps flow_matching")
            continue
        dataset = datasets["gaussian_mixture"](data_dir, dim=dim, n_train=20_000, n_test=points)
        yield row(rounds, name, dataset, points, networks["mlp"]((dim,), width=128, depth=4), target)
