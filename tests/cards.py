"""Every registered baseline in one line: what `--list` says of it, and what its trained model gives.

What a model gives is asked of the model of a tiny network on points with three classes.
"""

from typing import Any

import torch
from torch import nn

from bench.command.listing import described
from bench.config.registry import baselines
from bench.methods.baseline import About, Baseline
from bench.methods.model import Model
from bench.methods.network import CountedNetwork
from bench.methods.sampler import Sampler
from bench.networks.mlp import mlp
from bench.papers.paper import order

HEAD = "| name | method | likelihood | draws by |\n|---|---|---|---|\n"
SHAPE = (2,)


class Making:
    """The `make` of a method on points."""

    def network(self, shape: tuple[int, ...] = SHAPE, **inputs: Any) -> nn.Module:
        return mlp(shape, width=8, depth=1, **inputs)

    def pretrained(self, teacher: str, **inputs: Any) -> nn.Module:
        return self.network(**inputs)


def model_of(baseline: Baseline) -> tuple[Model, CountedNetwork]:
    net = CountedNetwork(baseline.build(Making(), About(SHAPE, classes=3)))
    return baseline.model(net), net


def likelihood(model: Model) -> str:
    if model.log_prob:
        return "exact, its own"
    return "exact, by the ODE" if model.velocity else "a bound" if model.bound else "none"


def ways(model: Model, net: CountedNetwork) -> str:
    """ "ODE; ancestral in 1000, flow_map in 1, 2 or 4": evaluations of samplers that have steps, or are counted."""
    evaluations: dict[str, list[str]] = {}
    for name, way in model.samplers.items():
        if isinstance(way, Sampler):
            evaluations.setdefault(way.name, []).append(str(way.evaluations))
        else:
            before = net.rows
            way(torch.zeros(1, *SHAPE), torch.Generator())
            evaluations.setdefault(name, []).append(str(net.rows - before))
    numbers = [", ".join(most) + " or " * bool(most) + last for *most, last in evaluations.values()]
    told = [f"`{name}` in {of}" for name, of in zip(evaluations, numbers, strict=True)]
    return "; ".join(["ODE"] * bool(model.velocity) + told)


def table_of_baselines() -> str:
    """In the order of the papers' methods, those that no paper names last."""
    lines, names = described(baselines), list(baselines)
    names.sort(key=lambda name: order().index(name) if name in order() else len(order()))
    rows = []
    for name in names:
        model, net = model_of(baselines[name]())
        rows.append(f"| `{name}` | {lines[name].rstrip('.')} | {likelihood(model)} | {ways(model, net)} |")
    return HEAD + "\n".join(rows) + "\n"
