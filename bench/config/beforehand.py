"""Whether runs can be made at all, before anything starts: their names and options, networks, data and weights."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import nn

from bench.config.choice import numbers
from bench.config.components import about, build_baseline, build_dataset, check_data, check_network, forget
from bench.config.options import checked_options
from bench.config.registry import datasets, metrics, networks, unknown
from bench.config.sampling import further, swept
from bench.config.settings import Component, Samples
from bench.config.suite import RUN_ID, Run
from bench.datasets.base import Dataset
from bench.errors import NotApplicable, UsageError, usage_error
from bench.metrics.chosen import chosen, of_samples


def validate(runs: Iterable[Run]) -> None:
    """Check all names, options and solvers of the runs before anything starts; UsageError for the first bad one.

    Of runs that differ in their seed alone the first is checked.
    """
    from bench.methods.ode import Solver

    alike: dict[tuple[str, ...], Run] = {}
    for run in runs:
        alike.setdefault((run.variant, run.curve_settings, *run.evaluated.values()), run)
    for run in alike.values():
        checked_options(datasets, run.dataset)
        checked_options(networks, run.network)
        with usage_error(f"baseline {run.baseline.name}"):
            baseline = build_baseline(run.baseline)
            baseline.check_options()
            getattr(baseline, "t_end", None)  # asks for the path
        samples, likelihood, sweep = run.evaluation.samples, run.evaluation.likelihood, run.evaluation.sweep
        for solve in [*(likelihood.solvers if likelihood else ()), *([samples.solver] if samples else ())]:
            Solver(**solve.model_dump())
        if run.tune and run.tune.metric:
            known = [name for metric in metrics.values() if metric.in_curve for name in metric.facts]
            if not {*known}.intersection(numbers(run.tune.metric)):
                raise UsageError("tune.metric: " + unknown("number of the curve", run.tune.metric, known))
        if samples:
            for name in samples.metrics or ():
                of_samples(name)
            further(samples)
        if sweep:
            swept(sweep)


def prepare(runs: Iterable[Run], data_dir: Path) -> dict[str, int]:
    """Have the data of the runs, and Inception's weights, ready and whole before anything starts, or a UsageError.

    By the id of a run, the numbers that one of its samples consists of.
    """
    from bench.metrics.extractors.named import make_sure

    extractors, sure, sizes = set[str | None](), set[str](), dict[str, int]()
    for run in runs:
        dataset = build_dataset(run.dataset, data_dir, run.seed)
        sizes[run.run_id] = dataset.dim
        check_data(run, dataset)
        with suppress(NotApplicable):  # which the run's records say
            check_networks(run, dataset)
        samples = run.evaluation.samples or Samples()
        if run.evaluation.samples:
            chosen(samples.metrics, dataset.is_image, dataset.is_given, samples.limits)
        own = dataset.extractor if dataset.is_image else None
        if samples.extractors or own not in (None, "inception"):
            if (named := f"{dataset.name} {dataset.stored_shape}: {samples.extractors or own}") not in sure:
                make_sure(samples, dataset, data_dir)
            sure.add(named)
            continue
        extractors.add(own)
    if "inception" in extractors:
        from bench.metrics.extractors.inception import weights

        weights(data_dir, data_dir / "extractors")
    forget()  # the workers have their own
    return sizes


class _Checks:
    """The `make` of Baseline.build before a run: a network is checked, and a stand-in given for it."""

    def __init__(self, component: Component, dataset: Dataset) -> None:
        self.component, self.dataset, self.complaint = component, dataset, UsageError()

    def network(self, **inputs: Any) -> nn.Module:
        try:
            check_network(self.component, self.dataset, **inputs)
        except UsageError as error:
            self.complaint = error
            raise
        return nn.Linear(1, 1)

    def pretrained(self, teacher: str, **inputs: Any) -> nn.Module:
        return nn.Linear(1, 1) if RUN_ID.fullmatch(teacher) else self.network(**inputs)


def check_networks(run: Run, dataset: Dataset) -> None:
    """UsageError if the run's method cannot build its networks, as far as `check_network` can tell.

    NotApplicable if it is not for such data.
    """
    make = _Checks(run.network, dataset)
    try:
        data = about(dataset)
        build_baseline(run.baseline).for_data(data).build(make, data)
    except Exception as error:  # any other is of a stand-in, or the run's to say
        if error is make.complaint or isinstance(error, NotApplicable):
            raise
