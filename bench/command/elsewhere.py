"""`--samples DIR_OR_FILE --dataset NAME --label LABEL`: samples made elsewhere, scored beside the runs of a suite.

The suite and its protocol say how the data set is evaluated; `--set evaluation.samples.KEY` and `--set dataset.OPTION`
change that. Without `--suite` it is quick if that has the data set, or else the suite of the same name, toys, images or
the first that has it. A data set that the suite has not is evaluated by the usual settings.
"""

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.command.options import check_alone, check_device, declare, setting
from bench.config.elsewhere import of_extractors
from bench.config.plan import plan
from bench.config.registry import baselines
from bench.config.settings import Component, Samples
from bench.config.suite import Run, Suite, load_suite, suite_names
from bench.config.validated import validated
from bench.errors import UsageError
from bench.launch.invocation import SUITE, remember
from bench.metrics.chosen import chosen
from bench.records.elsewhere import OF_DRAWING, PREFIX, Elsewhere, stand
from bench.records.planned import digests, plan_elsewhere
from bench.records.records import record_path

if TYPE_CHECKING:
    from bench.datasets.base import Dataset
    from bench.datasets.made import Made

TAKEN = ("samples", "dataset", "label", "suite", "protocol", "set", "plugin", "device", "results", "data_dir", "retry")
KEYS = ("evaluation.samples.", "dataset.")
LONGEST = 60  # characters of a label
USUAL = ("toys", "images")  # the suites of the usual metrics of points and of images
SUSPICIOUS = 0.01  # of the samples are copies


class Place(NamedTuple):
    """Whose evaluation it is, what that says, and the runs that the report is about too."""

    name: str
    about: str
    protocol: str
    dataset: Component
    samples: Samples
    runs: list[Run]


def score(options: argparse.Namespace, data_dir: Path) -> int:
    """Score the samples, unless they are, add them to the plan of the suite's folder, and report on that."""
    _check(options)
    check_device(options)
    if options.results.exists() and not options.results.is_dir():
        raise UsageError(f"--results {options.results}: a file; expected a folder, or a name for a new one")
    declare(options)
    path, label = Path(options.samples[0]).expanduser(), options.label[0]
    if label.casefold().partition(" (")[0] == "floor":
        raise UsageError(f"--label {label!r}: a row that every table has; choose another")
    if label in {name for cls in baselines.values() for name in (cls.label, cls.name)}:
        raise UsageError(f"--label {label!r}: the name of a baseline; choose another")
    place = _place(options)
    from bench.config.components import build_dataset
    from bench.datasets.elsewhere import opened

    dataset = build_dataset(place.dataset, data_dir)
    made, n = opened(path, dataset), place.samples.n
    if dataset.is_given:
        made.notes.append("sample i counts as drawn to fit what test sample i is given")
    _check_count(path, made.count, n, dataset)
    chosen(place.samples.metrics, dataset.is_image, dataset.is_given, place.samples.limits)
    origin = {"path": str(path.resolve()), "sha256": made.sha256(n), "files": made.files, "count": made.count}
    run = Elsewhere(
        suite=place.name,
        protocol=place.protocol,
        dataset=place.dataset,
        label=label,
        origin=origin,
        samples=place.samples,
        extractors_sha256=of_extractors(place.samples),
    )
    root = options.results / place.name
    from bench.command import actions

    found = stand(root, run.entry)
    if found.state == "done" and not (options.retry and found.lost):
        print(f"nothing to do: {label!r} on {dataset.name} is scored in {record_path(root, run.run_id, 'samples')}")
    else:
        _measure(run, made, dataset, options.device, root, data_dir)
    plan_elsewhere(root, place.about, run)
    return actions.report(root, place.runs)


def _check(options: argparse.Namespace) -> None:
    """UsageError if the command line says half of what to score, or what else to do."""
    named = {name: getattr(options, name) for name in ("samples", "dataset", "label")}
    for option, values in named.items():
        if not values:
            given = next(other for other, found in named.items() if found)
            hint = "; --datasets narrows a suite" if given == "dataset" else ""
            raise UsageError(f"--{given}: --samples, --dataset and --label go together; there is no --{option}{hint}")
        if len(values) > 1:
            raise UsageError(f"--{option}: named twice, {values[0]!r} and {values[1]!r}; a call scores one set")
    if not options.samples[0]:
        raise UsageError("--samples '': expected a folder or a file")
    check_alone(options, "samples", TAKEN)
    label = options.label[0]
    if not 0 < len(label) <= LONGEST or not label.isprintable() or label != label.strip():
        raise UsageError(f"--label {label!r}: expected 1 to {LONGEST} characters, printable, no space at either end")


def _place(options: argparse.Namespace) -> Place:
    """Where the samples are scored, and how."""
    dataset, settings = options.dataset[0], dict(setting(text) for text in options.set)
    for key in settings:
        if not key.startswith(KEYS):
            raise UsageError(f"--set {key}: with --samples a key is evaluation.samples.KEY or dataset.OPTION")
    options.suite = _suite_with(dataset) if options.suite is None else options.suite
    remember(options)  # for the commands that complaints name
    name, suite = load_suite(options.suite)
    known = digests(options.results / name)
    if dataset in _datasets(suite, options.protocol):
        every = plan(name, suite, options.protocol, digests=known)
        runs = plan(name, suite, options.protocol, datasets=[dataset], settings=settings, digests=known)
    else:
        every = plan(name, suite, digests=known)
        runs = plan(name, _usual(dataset, options.protocol or suite.protocol), settings=settings)
    components = {run.dataset.model_dump_json(): run.dataset for run in runs}
    if len(components) > 1:
        several = " and ".join(str(component.options) for component in components.values())
        raise UsageError(f"--dataset {dataset}: suite {name} has it with options {several}; --set dataset.OPTION")
    counts = Counter((run.evaluation.samples or Samples()).model_dump_json(exclude=OF_DRAWING) for run in runs)
    samples = Samples.model_validate_json(counts.most_common(1)[0][0])
    return Place(name, suite.about, runs[0].protocol, runs[0].dataset, samples, every)


def _datasets(suite: Suite, protocol: str | None = None) -> set[str]:
    experiments = suite.of(protocol or suite.protocol)
    return {component.name for experiment in experiments for component in experiment.dataset}


def _suite_with(dataset: str) -> str:
    """The suite whose evaluation counts where none is chosen."""
    known = suite_names()
    names = [name for name in (SUITE, dataset, *USUAL, *known) if name in known]
    return next((name for name in names if dataset in _datasets(load_suite(name)[1])), SUITE)


def _usual(dataset: str, protocol: str) -> Suite:
    """A suite of that data set alone, with the usual evaluation."""
    experiment = {"dataset": dataset, "network": "none", "baselines": [PREFIX], "training": {"steps": 1}}
    experiments = [{**experiment, "evaluation": {"samples": {}}}]
    found: Suite = validated(Suite, {"protocol": protocol, "experiments": experiments}, "--samples")
    return found


def _check_count(path: Path, count: int, n: int, dataset: "Dataset") -> None:
    if count < n:
        allowed = f"--set evaluation.samples.n={count} scores as many"
        raise UsageError(f"--samples {path}: {count} samples, and evaluation.samples.n = {n}; {allowed}")
    if dataset.is_given and n > (held := len(dataset.test)):
        allowed = f"sample i is to fit what test sample i is given, and there are {held}"
        raise UsageError(f"--samples {path}: evaluation.samples.n = {n}: {allowed}")


def _measure(run: Elsewhere, made: "Made", dataset: "Dataset", device: str | None, root: Path, data_dir: Path) -> None:
    """Score, say what a user should know of the samples, and write the record."""
    import torch

    from bench.config.components import opened
    from bench.evaluation import elsewhere
    from bench.evaluation.clock import Pace
    from bench.identity import inputs
    from bench.records import provenance

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    n = run.samples.n
    scored = f"the first {n:,} of {made.count:,} samples, in order" if made.count > n else f"{n:,} samples"
    print(f"{run.label!r} on {dataset.name}: {scored}, by suite {run.suite}, protocol {run.protocol}, on {device}")
    pace = Pace()

    def said(count: int) -> None:
        if pace.due():
            print(f"{count:,} of {n:,} samples", flush=True)

    read, own = set[str](), {str(made.path.resolve()), str(made.path.absolute())}
    with inputs.noted(read):
        rows, arrays = elsewhere.score(made, dataset, run.samples, run.origin, data_dir, device, said)
    copies = f"{made.copies:,} of {n:,} samples ({made.copies / n:.1%}) are copies of earlier ones"
    for note in [*made.notes, *([copies] if made.copies > SUSPICIOUS * n else [])]:
        print(f"note: {note}")
    facts: dict[str, Any] = {
        "dataset_version": dataset.version if dataset.by_run else f"{dataset.version}:{dataset.checksum}",
        "dataset_checksum": dataset.checksum,
        "given": dataset.is_given,
        "device": provenance.device_name(device),
        "device_count": 1,
        # The samples are known by their own checksum, and need not stay where they are.
        "inputs": inputs.described({*read, *opened(run.dataset, data_dir)} - own, [root, made.path.resolve()]),
        "commit": provenance.commit(),
        "versions": provenance.versions(),
        "copies": made.copies,
    }
    run.write(root, rows, facts, arrays)
