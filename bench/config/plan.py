"""From a suite to its runs: every experiment x baseline x seed, with the settings that apply to each.

What applies where is bench/config/cell.py's to say. A run that is tuned comes with its trials.

An option of a network that is the path of a .json file stands for what is in it.

A baseline whose option `teacher` names another baseline is taught by that one's run on the same data, network and seed.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.config.cell import UNSET, apply, cell_of
from bench.config.elsewhere import located, located_file, of_extractors, remembered
from bench.config.experiment import Experiment
from bench.config.registry import unknown
from bench.config.settings import Component
from bench.config.suite import RUN_ID, Run, Suite
from bench.config.trials import with_trials
from bench.config.validated import validated
from bench.errors import UsageError, one_line


def plan(
    name: str,
    suite: Suite,
    protocol: str | None = None,
    baselines: Iterable[str] | None = None,
    datasets: Iterable[str] | None = None,
    seeds: Iterable[int] | None = None,
    settings: Mapping[str, Any] | None = None,
    digests: Mapping[str, str] | None = None,
) -> list[Run]:
    """The runs of a suite, in the order of its file, narrowed to what was asked for.

    `settings` takes dotted keys (`training.steps`, `network.width`, `fm_ot.sigma_min`) to values, or to UNSET.
    `digests` has those of files, by whole path, that an earlier plan has named: one that is gone since is planned as it
    was. UsageError for any other that is not there, for an unknown protocol, and for a baseline, dataset or key that
    nothing in the suite answers to.
    """
    protocol = protocol or suite.protocol
    if protocol not in suite.protocols:
        raise UsageError(f"--protocol {protocol}: suite {name} has {', '.join(suite.protocols)}")
    experiments = suite.of(protocol)
    every = [d.name for e in experiments for d in e.dataset]
    chosen_datasets = every if datasets is None else list(datasets)
    if foreign := [dataset for dataset in chosen_datasets if dataset not in every]:
        kind = f"dataset of suite {name}, protocol {protocol}"
        raise UsageError(f"--datasets {foreign[0]}: " + unknown(kind, foreign[0], every))
    named = list(baselines) if baselines is not None else None
    known = list(dict.fromkeys([*(b for e in experiments for b in e.of(protocol)), *(named or ())]))
    unset = {key for key, value in (settings or {}).items() if value is UNSET}
    runs: dict[str, Run] = {}
    for experiment in experiments:
        for dataset in experiment.dataset:
            if dataset.name not in chosen_datasets:
                continue
            place = _Place(name, protocol, experiment, dataset, settings or {}, known, unset, digests or {})
            for baseline in named if named is not None else experiment.of(protocol):
                if not _runs_in(experiment, baseline, dataset, experiments, protocol, settings or {}):
                    continue
                own_seeds = experiment.variation(protocol).seeds or experiment.seeds or suite.seeds
                for seed in own_seeds if seeds is None else seeds:
                    for run in with_trials(place.run(baseline, seed), own_seeds, place.where(baseline)):
                        if runs.setdefault(run.run_id, run) != run:
                            raise UsageError(
                                f"{place.where(baseline)}: {run.run_id} is planned twice, with different evaluations"
                            )
    if unset and runs:
        raise UsageError(f"--set {min(unset)}=: no run here sets it, so there is nothing to take away")
    return list(runs.values())


def _runs_in(
    experiment: Experiment,
    baseline: str,
    dataset: Component,
    experiments: Iterable[Experiment],
    protocol: str,
    settings: Mapping[str, Any],
) -> bool:
    """Whether a baseline runs there: where experiments list it for the dataset, or list one that `--set` has it teach.

    One that none lists runs where its own teacher does that is set so, or else in every experiment of the dataset.
    """
    listing = [e for e in experiments if dataset in e.dataset and baseline in e.of(protocol)]
    if listing:
        teaches = any(settings.get(f"{student}.teacher") == baseline for student in experiment.of(protocol))
        return experiment in listing or teaches
    others = dict(settings)  # without its own: `run` complains of a baseline that would be its own teacher
    teacher = others.pop(f"{baseline}.teacher", None)
    return not isinstance(teacher, str) or _runs_in(experiment, teacher, dataset, experiments, protocol, others)


@dataclass(frozen=True)
class _Place:
    """Where runs differ in their baseline and seed alone; `unset` loses the keys that one of them had.

    `first` has a run of each baseline without a teacher: those of its other seeds are copies.
    """

    suite: str
    protocol: str
    experiment: Experiment
    dataset: Component
    settings: Mapping[str, Any]
    known: list[str]
    unset: set[str]
    digests: Mapping[str, str]
    first: dict[str, Run] = field(default_factory=dict)

    def where(self, baseline: str) -> str:
        """How a complaint about a run begins."""
        return f"suite {self.suite}, {baseline}"

    def run(self, baseline: str, seed: int, students: tuple[str, ...] = ()) -> Run:
        if (alike := self.first.get(baseline)) and 0 <= seed < 2**63:
            return alike.of_seed(seed)
        where = self.where(baseline)
        cell = cell_of(self.experiment, self.dataset, self.protocol, baseline, where)
        self.unset.difference_update(apply(cell, baseline, self.settings, self.known))
        options, fields = cell.pop("options"), {"suite": self.suite, "protocol": self.protocol, "seed": seed}
        if options.get("teacher", "") != "":
            named = options["teacher"]
            teacher, digest = self._teacher(named, seed, (*students, baseline), where)
            if cell["tune"] and not digest and teacher != named:
                raise UsageError(f"{where}: tune: teacher = {named!r}: only the id of a run or a file may teach")
            options["teacher"] = teacher
            fields |= {"teacher_sha256": digest} if digest else {}
        if isinstance(weights := cell["training"].get("weights"), str) and weights:
            found = self._found(weights, located, f"{where}: training.weights")
            cell["training"]["weights"], fields["weights_sha256"] = found
        cell["network"]["options"] = {k: _read(k, v, where) for k, v in cell["network"]["options"].items()}
        fields |= {**cell, "baseline": {"name": baseline, "options": options}}
        run: Run = validated(Run, fields, where)
        run = run.model_copy(update={"extractors_sha256": of_extractors(run.evaluation.samples, self.digests)})
        if not run.teachers:
            self.first[baseline] = run
        return run

    def _teacher(self, teacher: object, seed: int, students: tuple[str, ...], where: str) -> tuple[str, str]:
        """The run of the baseline of that name in this very place; a run's id stays, a file gets its whole path.

        With the digest of a file, else "". UsageError for anything else, and for a baseline that would be taught by
        itself.
        """
        if isinstance(teacher, str) and RUN_ID.fullmatch(teacher):
            return teacher, ""
        if isinstance(teacher, str) and ("/" in teacher or teacher.endswith((".pt", ".safetensors"))):
            return self._found(teacher, located_file, f"{where}: teacher")
        if teacher in students:
            raise UsageError(f"{where}: teacher = {teacher!r}: it would be its own teacher")
        if not isinstance(teacher, str) or teacher not in self.known:
            raise UsageError(
                f"{where}: teacher = {teacher!r}: expected a baseline of this suite ({', '.join(self.known)}), "
                "the id of a run, or the path of a file"
            )
        return self.run(teacher, seed, students).run_id, ""

    def _found(self, path: str, find: Callable[[str], tuple[str, str]], key: str) -> tuple[str, str]:
        """The whole path and the digest of a file that the suite names at a key."""
        try:
            return find(path)
        except UsageError as error:
            if known := remembered(path, self.digests):
                return known
            raise UsageError(f"{key} = {path!r}: {error}") from error


def _read(key: str, value: Any, where: str) -> Any:
    """The content of a .json file that an option of a network names, so that the run holds it; else the value."""
    if not isinstance(value, str) or not value.endswith(".json"):
        return value
    try:
        return json.loads(Path(value).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{where}: network.{key} = {value!r}: {one_line(error)[:200]}") from error
