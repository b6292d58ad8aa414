"""The same of what has to do with results: samplers, metrics, figures and papers."""

import dataclasses
import math
from collections.abc import Iterator
from functools import partial as bound
from typing import Any

import torch
from torch import Tensor

from bench.command.conformance import KINDS, Check, some_fit
from bench.command.tiny import ENLARGED, IMAGES, POINTS, Workshop
from bench.config.registry import metrics, papers, samplers
from bench.config.suite import Run
from bench.errors import NotApplicable, UsageError
from bench.methods.model import Model
from bench.methods.paths import OptimalTransport, Path, VariancePreserving, like
from bench.methods.rules import require
from bench.records.records import run_folder
from bench.records.seal import read_json

MEAN, STD = 1.0, 0.5


def of_sampler(name: str, workshop: Workshop) -> Iterator[Check]:
    sampler, refused = samplers[name](**workshop.options.get(name, {})), list[str]()
    paths: dict[str, Path] = {"fm_ot": OptimalTransport(), "fm_diffusion": VariancePreserving()}
    for method, path in paths.items():
        try:
            sampler.draw(exact(path), torch.zeros(2, 2), torch.Generator())
        except NotApplicable as refusal:
            refused.append(f"not applicable to {type(path).__name__}: {refusal}")
            continue
        except Exception:  # which the check will say
            pass
        yield f"on {type(path).__name__}", bound(_drawn, sampler, path)
        data, options = (IMAGES, {"labels": True}) if "guidance" in sampler.needs else (POINTS, {})
        run = workshop.run(method, data, options=options, sweep={"samplers": [workshop.component(name)]})
        yield f"in a sweep of {method}", bound(workshop.through_stages, run)
    if sampler.order and hasattr(sampler, "steps"):
        yield "order of convergence", bound(_order, sampler)
    yield from some_fit("models", refused, paths)


def exact(path: Path) -> Model:
    """The model of N(MEAN, STD^2 I): with V = alpha^2 STD^2 + sigma^2 and d = x - alpha MEAN,

    score = -d / V,  E[x0 | x] = sigma d / V,  E[x1 | x] = MEAN + alpha STD^2 d / V,

    and the velocity is alpha' E[x1 | x] + sigma' E[x0 | x]. Along its flow d / sqrt(V) stays as it is, which gives the
    flow map. Every class has this law, so that guidance changes nothing.
    """

    def variance(t: Tensor) -> Tensor:
        return path.alpha(t) ** 2 * STD**2 + path.sigma(t) ** 2

    def score(t: Tensor, x: Tensor) -> Tensor:
        return -(x - like(path.alpha(t), x) * MEAN) / like(variance(t), x)

    def velocity(t: Tensor, x: Tensor) -> Tensor:
        s = score(t, x)
        x1 = MEAN - like(path.alpha(t), x) * STD**2 * s
        return like(path.dalpha(t), x) * x1 - like(path.dsigma(t) * path.sigma(t), x) * s

    def flow_map(t: Tensor, r: Tensor, x: Tensor) -> Tensor:
        return path.alpha(r) * MEAN + (x - path.alpha(t) * MEAN) * torch.sqrt(variance(r) / variance(t))

    def consistency(t: Tensor, x: Tensor) -> Tensor:
        return flow_map(t, torch.full_like(t, path.t_end), x)

    maps: dict[str, Any] = {"flow_map": flow_map, "consistency": consistency}
    return Model(velocity, path.t_end, path, score, guidance=lambda scale: exact(path), **maps)


def _drawn(sampler: Any, path: Path) -> str:
    """Samples of the exact model have the noise's shape and the right mean, are finite, and the generator's alone."""
    x0 = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0))

    def draw(seed: int) -> Tensor:
        torch.manual_seed(seed)
        found: Tensor = sampler.draw(exact(path), x0, torch.Generator().manual_seed(1))
        return found

    x = draw(0)
    fits = isinstance(x, Tensor) and x.shape == x0.shape and x.dtype == x0.dtype
    require(fits, f"samples are {tuple(getattr(x, 'shape', ()))}, and the noise is {tuple(x0.shape)}")
    require(bool(x.isfinite().all()), "samples are not finite")
    require(torch.equal(x, draw(1)), "two calls with the same noise and generator differ: rng is the only randomness")
    note = f"mean {float(x.mean()):.3f} and std {float(x.std()):.3f} of an exact N({MEAN:g}, {STD:g}^2)"
    require(abs(float(x.mean()) - MEAN) < 0.2, note)
    return note


def _order(sampler: Any) -> str:
    """On a path of bounded noise its error falls by the order that it declares, from 128 steps to 256."""
    path = VariancePreserving(0.1, 5.0, t_end=0.9)
    model, x0 = exact(path), torch.tensor([[-1.0, 1.5]], dtype=torch.float64)
    true = model.having("consistency")(torch.zeros((), dtype=torch.float64), x0)
    finer = [dataclasses.replace(sampler, steps=steps) for steps in (128, 256)]
    errors = [float((one.draw(model, x0, torch.Generator()) - true).abs().max()) for one in finer]
    found = math.log2(errors[0] / errors[1]) if min(errors) > 1e-12 else math.inf
    note = f"errors {errors[0]:.1e} and {errors[1]:.1e}, slope {found:.2f} of order {sampler.order}"
    require(found > sampler.order - 0.3, note)
    return note


# What figures are made of: few evaluations by samplers that methods do not share, more samplers than have a panel each,
# and scales of guidance.
FEW = {"nfe": [1, 2, 4], "samplers": ["euler", "midpoint", "flow_map"], "error_n": 8}
MANY = {"nfe": [12], "samplers": ["euler", "midpoint", "heun2", "heun3", "rk4", "exponential", "unipc"]}
GUIDED = {"samplers": [{"name": "euler", "steps": 4, "guidance": [0, 1, 3]}]}


def of_metric(name: str, workshop: Workshop) -> Iterator[Check]:
    metric = metrics[name]
    for kind, dataset in ({"images": ENLARGED} if metric.needs == "pairs" else KINDS).items():
        if metric.data not in ("any", kind):
            continue
        if metric.on(kind).needs == "samples":
            yield f"on {kind}, of data and of noise", bound(_told_apart, metric, workshop.data(dataset))
        choice = {"metrics": [name]} if metric.needs else {}
        run = workshop.run("fm_ot", dataset, samples=choice, sweep={"error_n": 0 if choice else 16})
        yield f"on {kind}, stages", bound(_measured, metric, workshop, run)


def _told_apart(metric: Any, data: Any) -> str:
    """Held-out data is not worse than noise, in the direction that the metric names."""
    rows = data.decode(data.encode(data.test[:64]))
    rng = torch.Generator().manual_seed(0)
    noise = data.decode(torch.randn(32, *data.shape, generator=rng))
    found = [metric.measure(x, rows[32:], data, torch.Generator().manual_seed(0)) for x in (rows[:32], noise)]
    values = [float(_first(value)) for value in found]
    note = f"{values[0]:.4g} of held-out data, {values[1]:.4g} of noise"
    direction = next(iter(metric.facts.values())).direction
    wrong = {"lower": values[0] > values[1], "higher": values[0] < values[1]}.get(direction, False)
    require(not wrong, f"direction {direction!r}, yet {note}")
    return note


def _first(value: Any) -> Any:
    """The first number of what a metric gives: itself, with its error, or several of either kind."""
    return _first(value[0]) if isinstance(value, tuple) else value


def _measured(metric: Any, workshop: Workshop, run: Run) -> str:
    """A record has the metric's numbers, with their facts."""
    workshop.through_stages(run)
    found = {}
    for stage in run.stages:
        for row in read_json(run_folder(workshop.folder, run.run_id) / f"{stage}.json")["measurements"]:
            if metric.facts_of(row["metric"]):
                told = row.get("reason") or f"{row['value']:.4g} {row['unit']}".strip()
                found[row["title"]] = f"{row['title']} {told}"
    require(bool(found), f"no record has a number of it; its numbers are {', '.join(metric.facts)}")
    return ", ".join(found.values())


def of_figure(name: str, workshop: Workshop) -> Iterator[Check]:
    yield "drawn", bound(_figure, name, workshop)


def _figure(name: str, workshop: Workshop) -> str:
    """It is drawn from the records of flows on points and on images, wherever its arrays and metrics are."""
    from bench.records.frame import read_configs, read_frame
    from bench.report.artefacts import Artefacts
    from bench.report.figure import draw
    from bench.report.sections import sections

    flows = ("fm_ot", "fm_diffusion")
    runs = [workshop.run(method, POINTS, sweep=FEW) for method in (*flows, "meanflow")]
    runs += [workshop.run(method, {**POINTS, "name": "moons"}, sweep=MANY) for method in flows]
    runs += [workshop.run(method, IMAGES, options={"labels": True}, samples=GUIDED) for method in flows]
    for run in runs:
        workshop.through_stages(run)
    drawn, complaints = [], list[str]()
    for section in sections(read_frame(workshop.folder), read_configs(workshop.folder)):
        for drawing in draw(section, Artefacts(workshop.folder), complaints, only=name):
            drawing.figure.savefig(workshop.folder / f"{drawing.name}.png")
            drawn.append(drawing.name)
    if complaints:
        raise UsageError(complaints[0])
    require(bool(drawn), "not drawn of points and not of images: no record has the arrays and metrics that it names")
    return ", ".join(drawn)


def of_paper(name: str, workshop: Workshop) -> Iterator[Check]:
    yield "numbers and tables", bound(_paper, name)


def _paper(name: str) -> str:
    """Its tables have columns that are measured, its methods and numbers have each a row."""
    from bench.papers.paper import published_numbers

    paper = papers[name]
    numbers = published_numbers()
    numbers = numbers[numbers.paper == name]
    require(len(numbers) > 0 or not paper.numbers, f"no number in {', '.join(paper.numbers)}")
    for table in paper.tables:
        for column in table.columns:
            known = column in ("nll", "quality") or any(metric.facts_of(column) for metric in metrics.values())
            require(bool(known), f"table {table.name}: column {column!r} is of no metric; known: {', '.join(metrics)}")
    return f"{len(numbers)} numbers, {len(paper.tables)} tables, {len(paper.claims)} claims"
