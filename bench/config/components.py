"""Building what a run names: dataset, network and baseline, with their options checked by name and by type."""

import dataclasses
import inspect
import json
import typing
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.config.options import INPUTS, checked_options
from bench.config.registry import baselines, datasets, networks, unknown
from bench.config.settings import Component
from bench.config.suite import Run
from bench.datasets.base import Dataset
from bench.datasets.contract import checked
from bench.datasets.deviation import deviation
from bench.datasets.source import starts
from bench.errors import UsageError, usage_error
from bench.identity import inputs
from bench.methods.baseline import About, Baseline
from bench.records.disk import NoSpace
from bench.training.modules import materialise


def build_baseline(component: Component) -> Baseline:
    return baselines[component.name](**checked_options(baselines, component))


def about(dataset: Dataset) -> About:
    given = dataset.given_of("test", slice(1))
    of_given = None if given is None else tuple(given.shape[1:])
    return About(dataset.shape, dataset.classes, of_given, partial(deviation, dataset))


def build_network(component: Component, dataset: Dataset, **inputs: Any) -> nn.Module:
    """The network for a dataset's samples, and for what they are given if they are; `inputs` as in `Make.network`.

    UsageError for an option that it has not, or cannot have, and for an input that it does not take.
    """
    shape, options = _network_call(component, dataset, inputs)
    module: nn.Module = networks[component.name](shape, **options)
    if not isinstance(module, nn.Module):
        raise UsageError(f"network {component.name}: its builder gives a {type(module).__name__}, not an nn.Module")
    materialise(module, component.name, lambda: _example(shape, options))
    if not any(p.requires_grad for p in module.parameters()):
        raise UsageError(f"network {component.name}: it has no parameter that can be trained")
    return module


def check_network(component: Component, dataset: Dataset, **inputs: Any) -> None:
    """UsageError if the network cannot be built for the dataset, as far as can be told without building it."""
    shape, options = _network_call(component, dataset, inputs)
    builder = networks[component.name]
    if check := getattr(builder, "check", None):
        call = inspect.signature(builder).bind(shape, **options)
        call.apply_defaults()
        check(**call.arguments)


def _network_call(
    component: Component, dataset: Dataset, inputs: dict[str, Any]
) -> tuple[tuple[int, ...], dict[str, Any]]:
    given = about(dataset).given
    wanted = {"given": given or (), **inputs}
    shape = tuple(wanted.pop("shape", dataset.shape))
    if unheard := sorted(wanted.keys() - INPUTS):
        raise UsageError(f"network {component.name}: " + unknown("input", unheard[0], ["shape", *INPUTS]))
    takes = inspect.signature(networks[component.name]).parameters
    wanted = {key: value for key, value in wanted.items() if value is not None and value != INPUTS[key]}
    for key, value in wanted.items():
        if key not in takes:
            takers = [name for name, other in networks.items() if key in inspect.signature(other).parameters]
            source = f", which {dataset.name} has" if key == "given" and value == given else ""
            allowed = f"; allowed: {', '.join(takers)}"
            raise UsageError(f"network {component.name}: takes no {key} = {value!r}{source}{allowed}")
    if isinstance(wanted.get("given"), int):
        wanted["given"] = (wanted["given"],)
    return shape, checked_options(networks, component) | wanted


def _example(shape: tuple[int, ...], options: dict[str, Any]) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Two samples of normal numbers at t = 1/2, with all that a network of these options is called with."""
    rng, given = torch.Generator().manual_seed(0), options.get("given", ())
    half, x = torch.full((2,), 0.5), torch.randn(2, *shape, generator=rng)
    named = {"r": half} if options.get("second_time") else {}
    if given:
        drawn = torch.randn(2, *given, generator=rng)
        if len(given) == 3 == len(shape):
            x = torch.cat([x, drawn], 1)
        else:
            named["given"] = drawn
    return [*([half] if options.get("time", True) else []), x], named


def check_data(run: Run, dataset: Dataset) -> None:
    """UsageError where a run's method cannot be trained on the data, or more samples are asked for than it can give."""
    baseline, samples, sweep = run.baseline.name, run.evaluation.samples, run.evaluation.sweep
    if baselines[baseline].needs_given and not dataset.is_given:
        raise UsageError(
            f"baseline {baseline}: needs samples that are given something; those of {dataset.name} are not"
        )
    if build_baseline(run.baseline).needs_gaussian and dataset.source is not None:
        raise UsageError(f"baseline {baseline}: needs noise from N(0, I); {dataset.name} has a source of its own")
    if (run.tune or run.trial) and dataset.validation is None:
        how = "give it one, as by its option validation = 1000, or take tune away"
        raise UsageError(f"tune: {dataset.name} has no validation split to choose on; {how}")
    drawn = {"training.curve_n": run.training.curve_n} if run.training.curve_points else {}
    drawn |= {f"evaluation.samples.{key}": getattr(samples, key) for key in ("n", "path_n") if samples}
    drawn |= {"evaluation.sweep.n": sweep.n} if sweep else {}
    for key, n in drawn.items():
        data = dataset.for_tuning if key.startswith("training") else dataset
        if data.is_given and n > (held := len(data.test)):
            kind = f"{data.held_out} {'image' if data.is_image else 'sample'}"
            raise UsageError(f"{key} = {n}: a sample of {data.name} is given a {kind}, and there are {held}")
        if (points := starts(data.source, data.held_out)) is not None and n > len(points):
            kind = f"{data.held_out} point of its source"
            raise UsageError(f"{key} = {n}: a sample of {data.name} starts from a {kind}, and there are {len(points)}")
    if samples and samples.labels == "balanced" and (dataset.is_given or not dataset.classes):
        why = "have the classes of what they are given" if dataset.is_given else "have no classes"
        raise UsageError(f"evaluation.samples.labels = 'balanced': samples of {dataset.name} {why}; allowed: 'train'")
    if samples and samples.repeats > 1 and starts(dataset.source, dataset.held_out) is not None:
        message = f"samples of {dataset.name} start from the same points of its source each time; allowed: 1"
        raise UsageError(f"evaluation.samples.repeats = {samples.repeats}: {message}")


class Built(typing.NamedTuple):
    """A dataset, the files that were opened for it, and what they were."""

    dataset: Dataset
    files: set[str]
    stamps: dict[str, dict[str, int]]


@lru_cache(maxsize=2)
def _dataset(name: str, data_dir: Path, options: str, run_seed: int | None) -> Built:
    component, files = Component(name=name, options=json.loads(options)), set[str]()
    options_of = checked_options(datasets, component) | ({} if run_seed is None else {"run_seed": run_seed})
    with inputs.noted(files), usage_error(f"dataset {name}: cannot be built", NoSpace):
        dataset: object = datasets[name](data_dir, **options_of)
    return Built(checked(name, dataset), files, inputs.stamps(files))


def _built(component: Component, data_dir: Path, run_seed: int) -> Built:
    key = (
        *(component.name, data_dir, json.dumps(component.options, sort_keys=True, default=str)),
        run_seed if component.options.get("seed") == "run" else None,
    )
    built = _dataset(*key)
    if inputs.stamps(built.files) != built.stamps:
        _dataset.cache_clear()
    return _dataset(*key)


def opened(component: Component, data_dir: Path, run_seed: int = 0) -> set[str]:
    """The files that were opened for the dataset when it was built."""
    return _built(component, data_dir, run_seed).files


def build_dataset(component: Component, data_dir: Path, run_seed: int = 0) -> Dataset:
    """The dataset; the last ones stay in memory, for the next run of the same worker, while their files stay.

    With the option seed = "run" the builder is told the run's own, as `run_seed`.

    UsageError for an option, or for data that break the contract of a dataset.
    """
    return _built(component, data_dir, run_seed).dataset


def forget() -> None:
    """Free the datasets that stay in memory."""
    _dataset.cache_clear()


def resolved(baseline: Baseline) -> dict[str, Any]:
    """All options of a baseline, defaults included, for the record."""
    return {f.name: getattr(baseline, f.name) for f in dataclasses.fields(baseline)}
