"""A trained module with all that is needed to build it anew: of a run's folder, or of the one file that passes it on.

    RUN_ID.safetensors    the averaged weights, buffers and frozen teachers by name; in its metadata, at the key HEADER,
                          JSON: the run's configuration with all options, FACTS of the data and of the training, and the
                          SOURCE that trained it

The data itself is not needed again, unless its space or its source is code of its dataset (bench/datasets/told.py).
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError
from torch import nn

from bench.config import components
from bench.config.registry import Registry, baselines, networks
from bench.config.suite import Run
from bench.datasets.base import Dataset
from bench.datasets.told import stand_in, tell
from bench.errors import UsageError, one_line
from bench.identity import identity
from bench.records import standing
from bench.records.files import write_atomic
from bench.records.records import read_stage, stands
from bench.training import weights
from bench.training.build import Build

HEADER = "bench"
FACTS = (
    *("run_id", "label", "dataset_version", "parameters", "steps"),  # of a record
    *("commit", "finished", "versions", "plugins"),
)
SOURCE = ("code", "vouched", "sources")  # of a record, too


class Exported(NamedTuple):
    """A trained module in evaluation mode, the run that trained it, its data or a stand-in, and FACTS.

    `stale` is why its training is none of today's, "" if it is.
    """

    run: Run
    dataset: Dataset
    module: nn.Module
    facts: Mapping[str, Any]
    stale: str = ""


class Rebuild(Build):
    """The `make` of Baseline.build for weights that are loaded afterwards, those of teachers with them.

    `teachers_of` has the header of each teacher that is a run.
    """

    def __init__(self, run: Run, dataset: Dataset, teachers_of: Mapping[str, Any]) -> None:
        super().__init__(run.network, dataset, Path(), Path())
        self.teachers_of = teachers_of

    def pretrained(self, teacher: str, **inputs: Any) -> nn.Module:
        header = self.teachers_of.get(teacher)
        module = _module(header, stand_in(header["data"])) if header else self.network(**inputs)
        return module.eval().requires_grad_(False)


def of_folder(folder: Path, data_dir: Path) -> Exported:
    """What a run has trained, by its record and its last checkpoint; UsageError if it has not ended."""
    root, path = folder.parent.parent, folder / "checkpoint.pt"
    record = _record(root, folder.name)
    if not path.is_file():
        raise UsageError(f"{folder}: its weights are gone: there is no {path.name}")
    run = _run(record["config"], str(folder))
    dataset = components.build_dataset(run.dataset, data_dir, run.seed)
    header, stand = _header(root, record, run, dataset, data_dir), stands(root, run)["train"]
    stale = stand.reason if stand.state == "stale" else ""
    return Exported(run, dataset, _loaded(header, dataset, path), header, stale)


def of_file(path: Path, data_dir: Path) -> Exported:
    """What `write` has written; UsageError for any other file, or if its data is needed and is another now."""
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[HEADER])
        config, data, _ = header["config"], header["data"], header["teachers"]
        dataset = stand_in(data)
    except Exception as error:  # whatever a foreign file makes it raise
        raise UsageError(
            f"{path}: expected the folder of a run, or a file that --export wrote ({one_line(error)[:100]})"
        ) from error
    run = _run(config, str(path))
    if data["needed"]:
        dataset = components.build_dataset(run.dataset, data_dir, run.seed)
        if dataset.version != data["version"]:
            law, here = " and ".join(data["needed"]), f"here is version {dataset.version}"
            raise UsageError(f"{path}: needs the {law} of {dataset.name}, version {data['version']}; {here}")
    now = identity.code(run, "train")
    stale = standing.older_code(header, now) or header.get("stale") or ""
    return Exported(run, dataset, _loaded(header, dataset, path), header, stale)


def write(exported: Exported, path: Path) -> None:
    """Write the module of a run's folder into one file; UsageError for a state that is no tensor."""
    from safetensors.torch import save_file

    tensors = weights.tensors(exported.module)
    text = json.dumps({**exported.facts, "stale": exported.stale}, sort_keys=True)
    write_atomic(path, lambda temporary: save_file(tensors, temporary, {HEADER: text}))


def _header(root: Path, record: Mapping[str, Any], run: Run, dataset: Dataset, data_dir: Path) -> dict[str, Any]:
    config = run.model_dump(mode="json")
    config["baseline"]["options"] = record.get("options") or config["baseline"]["options"]
    teachers = {}
    for teacher in run.teachers:
        its = _record(root, teacher)
        taught = _run(its["config"], f"teacher = {teacher}")
        its_data = components.build_dataset(taught.dataset, data_dir, taught.seed)
        teachers[teacher] = _header(root, its, taught, its_data, data_dir)
    said = {key: record.get(key) for key in (*FACTS, *SOURCE)}
    return {**said, "config": config, "data": tell(dataset), "teachers": teachers}


def _record(root: Path, run_id: str) -> dict[str, Any]:
    record = read_stage(root, run_id, "train")
    if record is None or record["status"] != "ok" or not isinstance(record.get("config"), dict):
        state = "has failed" if record and record["status"] == "failed" else "has not ended"
        raise UsageError(f"{run_id}: its training {state} in {root}")
    return record


def _run(config: Any, where: str) -> Run:
    try:
        return Run.model_validate(config)
    except ValidationError as error:
        raise UsageError(f"{where}: its configuration is of another edition: {one_line(error)[:200]}") from error


def _loaded(header: Mapping[str, Any], dataset: Dataset, path: Path) -> nn.Module:
    with torch.random.fork_rng(devices=[]):  # whoever loads it draws as before
        module = _module(header, dataset)
    weights.load(module, path)
    return module.eval().requires_grad_(False)


def _module(header: Mapping[str, Any], dataset: Dataset) -> nn.Module:
    run = _run(header["config"], str(header["run_id"]))
    for registry, name in ((baselines, run.baseline.name), (networks, run.network.name)):
        _known(registry, name, header.get("plugins") or ())
    return Rebuild(run, dataset, header["teachers"]).module(components.build_baseline(run.baseline))


def _known(registry: Registry[Any], name: str, plugins: Iterable[str]) -> None:
    if name not in registry:
        files = ", ".join(map(repr, plugins)) or "..."
        raise UsageError(f"{registry.kind} {name!r} is of a plugin: bench.load(..., plugins=[{files}])")
