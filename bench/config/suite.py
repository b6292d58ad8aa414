"""A suite says all of one experiment in a TOML file; a Run is one cell of it, frozen and hashed.

    protocol = "small"
    seeds = [0, 1, 2]
    [[experiments]]
    dataset = "checkerboard"                     # or { name = "...", option = value }, or a list of either
    network = { name = "mlp", width = 128 }
    baselines = ["fm_ot", "ffjord"]
    training = { steps = 2000, batch = 512, lr = 2e-3 }
    tune = { training.lr = [1e-3, 2e-3, 4e-3] }  # what of it is best, on validation data (bench/config/tune.py)
    evaluation.likelihood = { n = 2000 }
    overrides.ffjord = { training.steps = 300, options.rtol = 1e-4 }
    protocols.smoke = { training.steps = 10, baselines = ["fm_ot"], overrides.fm_ot.options.sigma_min = 0.1 }

An experiment is of the protocols under which it has baselines: `baselines = []` leaves it out of all but those that
name some, and `protocols.paper.baselines = []` out of that one.

bench/config/plan.py turns it into runs. The identity of a run hashes what was asked for, so that finished work is
recognised without importing a trainer; records say what code answered.
"""

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field, model_validator

from bench.config import toml
from bench.config.curve import FORMER, curve_likelihood
from bench.config.digests import by_content, by_former_default, digest
from bench.config.experiment import Experiment, Protocol
from bench.config.names import safe_name
from bench.config.registry import unknown
from bench.config.settings import STAGES, Component, Evaluation, Frozen, Samples, Seed, Stage, Training
from bench.config.tune import Tune, Values, put, without
from bench.config.validated import validated
from bench.errors import UsageError

RUN_ID = re.compile(r"[A-Za-z0-9._+=-]+-[0-9a-f]{6}-s[0-9]+")
SUITES = Path(__file__).parents[1] / "suites"


class Named(NamedTuple):
    """Names of samplers, of metrics (None for the usual ones), and of extractors."""

    samplers: tuple[str, ...] = ()
    metrics: tuple[str, ...] | None = None
    extractors: tuple[str, ...] = ()


NOTHING = Named()


class Run(Frozen):
    """One dataset, network, baseline and seed with all settings.

    A run that is tuned has `tune`, and at what is tuned the suite's own settings until its trials have chosen. A trial
    has the values that it tries, which are in its settings as well.
    """

    suite: str
    protocol: str
    dataset: Component
    network: Component
    baseline: Component
    training: Training
    evaluation: Evaluation
    seed: Seed
    teacher_sha256: str = ""  # of the teacher's file, where it is one
    weights_sha256: str = ""  # of what lies at training.weights
    extractors_sha256: dict[str, str] = Field(default_factory=dict)  # of evaluation.samples.extractors, by name
    tune: Tune | None = None
    trial: Values = Field(default_factory=dict)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """train, then the stages that the evaluation asks for; of a trial train alone."""
        asked = () if self.trial else STAGES
        return tuple(s for s in STAGES if s == "train" or (s in asked and getattr(self.evaluation, s) is not None))

    @cached_property
    def variant(self) -> str:
        """Identity without the seed: runs of one variant are averaged, others never.

        That of a tuned run has what is tried in the place of what is chosen.
        """
        left_out: Any = {"suite": True, "seed": True, "evaluation": True, "training": {"checkpoint_seconds", "stack"}}
        left_out |= {"teacher_sha256": True, "weights_sha256": True, "extractors_sha256": True}
        left_out |= {"tune": {"untuned"}} if self.tune else {}
        settings = self.model_dump(mode="json", exclude=left_out, exclude_defaults=True)
        options = settings["baseline"].get("options", {})
        if self.teachers and self.teachers[0].endswith(f"-s{self.seed}"):  # seeds of one variant have a teacher each
            options["teacher"] = self.teachers[0].removesuffix(f"-s{self.seed}")
        if self.teacher_sha256:  # wherever the file lies
            options["teacher"] = self.teacher_sha256
        if self.weights_sha256:
            settings["training"]["weights"] = self.weights_sha256
        if self.tune:
            settings = without(settings, self.tune.lists)
        return f"{safe_name(f'{self.dataset.name}-{self.baseline.name}')}-{digest(settings)}"

    @property
    def run_id(self) -> str:
        return f"{self.variant}-s{self.seed}"

    def title(self, label: str) -> str:
        """The label of the run's baseline as reports show it: weights that were trained elsewhere are named."""
        return f"{label}, {self.training.budget}" if self.training.weights else label

    @property
    def teachers(self) -> tuple[str, ...]:
        """Runs that must be trained before: the teacher, where that is a run and not a file."""
        teacher = self.baseline.options.get("teacher")
        return (teacher,) if isinstance(teacher, str) and RUN_ID.fullmatch(teacher) else ()

    @cached_property
    def trials(self) -> dict[str, "Run"]:
        """By id the runs that try the values of a run that is tuned; all seeds of a variant share them."""
        if not self.tune:
            return {}
        few = {"curve_points": 1, "curve_n": self.tune.n or self.training.curve_n}
        found = [
            self.with_values(values).model_copy(update={"tune": None, "trial": values, "seed": seed})
            for values in self.tune.combinations()
            for seed in self.tune.seeds
        ]
        found = [run.model_copy(update={"training": run.training.model_copy(update=few)}) for run in found]
        return {run.run_id: run for run in found}

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """Runs that must have ended before: its teachers and its trials."""
        return (*self.teachers, *self.trials)

    @property
    def tuning(self) -> str:
        """What the run is in a suite that tunes: "trial", "tuned", or "" as any other."""
        return "trial" if self.trial else "tuned" if self.tune else ""

    def with_values(self, values: Values) -> "Run":
        """The run with these values by dotted key; UsageError for one that cannot be."""
        where = f"suite {self.suite}, {self.baseline.name}: tune"
        found: Run = validated(Run, put(self.model_dump(), values), where)
        return found

    def of_seed(self, seed: int) -> "Run":
        """The run of the same settings and another seed; of a run without a teacher, which would have a seed, too."""
        assert not self.teachers
        copied = self.model_copy(update={"seed": seed})
        copied.__dict__.update(variant=self.variant, evaluated=self.evaluated, named=self.named)
        copied.__dict__.update(curve_settings=self.curve_settings, trials=self.trials)
        return copied

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> "Run":
        """A copy that works out anew what hangs on its settings."""
        copied = super().model_copy(update=update, deep=deep)
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]
        return copied

    def fingerprint(self, stage: Stage) -> str:
        """What a finished record of the stage must quote: another evaluation repeats the stage, not the training."""
        return self.run_id if stage == "train" else f"{self.run_id}-{self.evaluated[stage]}"

    @cached_property
    def evaluated(self) -> dict[Stage, str]:
        """Digest of the settings of each stage of the evaluation."""
        evaluation, found = by_former_default(self.evaluation), dict[Stage, str]()
        for stage in self.stages[1:]:
            settings = getattr(evaluation, stage).model_dump(mode="json", exclude_defaults=True)
            samples = evaluation.samples
            if stage == "sweep" and samples:  # what its samples are compared with, and by which metrics
                shared = {"metrics", "limits", "extractors", "labels", "reference", "reference_n"}
                settings |= samples.model_dump(mode="json", include=shared, exclude_defaults=True)
            found[stage] = digest(by_content(settings, self.extractors_sha256))
        return found

    @cached_property
    def named(self) -> dict[str, Named]:
        """What each stage that draws samples, "curve" included, is drawn and measured by."""
        samples, sweep = self.evaluation.samples or Samples(), self.evaluation.sweep
        by = tuple(extractor.name for extractor in samples.extractors or ())
        first = samples.solver.method
        drawn = {"samples": {first, *(sampler.name for sampler in samples.samplers)}, "curve": {first}}
        drawn["sweep"] = {component.name for component in sweep.components} if sweep else set()
        return {stage: Named(tuple(sorted(names)), samples.metrics, by) for stage, names in drawn.items()}

    @cached_property
    def curve_settings(self) -> str:
        """Digest of the settings of an evaluation that a training's own curve is measured under."""
        keys = {
            "likelihood": {"batch", "divergence"},
            "samples": {"batch", "metrics", "limits", "extractors", "solver", "labels", "reference", "reference_n"},
        }
        settings = by_former_default(self.evaluation).model_dump(mode="json", include=keys, exclude_defaults=True)
        by_content(settings.get("samples") or {}, self.extractors_sha256)
        (solver,) = curve_likelihood(self.evaluation, 1).solvers
        if solver.method != FORMER:
            settings["solver"] = solver.method
        return digest({stage: of_stage for stage, of_stage in settings.items() if of_stage is not None})


class Suite(Frozen):
    """A file: its default protocol, its seeds and its experiments."""

    about: str = ""
    protocol: Protocol = "small"
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    experiments: Annotated[tuple[Experiment, ...], Field(min_length=1)]

    def of(self, protocol: str) -> list[Experiment]:
        """The experiments of a protocol."""
        return [experiment for experiment in self.experiments if experiment.of(protocol)]

    @property
    def protocols(self) -> list[str]:
        """The default protocol and those that experiments name, where they have a baseline to run."""
        named = {self.protocol, *(protocol for experiment in self.experiments for protocol in experiment.protocols)}
        return sorted(protocol for protocol in named if self.of(protocol))

    @model_validator(mode="after")
    def _has_runs(self) -> "Suite":
        if not self.of(self.protocol):
            raise ValueError(f"no experiment has baselines under protocol {self.protocol!r}, the default one")
        return self


def suite_names() -> list[str]:
    return sorted(p.stem for p in SUITES.glob("*.toml"))


def load_suite(name: str) -> tuple[str, Suite]:
    """The name (its file's stem, made safe) and the contents of a suite that is given by name or by file.

    UsageError if there is none, or for a key or value that is wrong.
    """
    path = Path(name) if name.endswith(".toml") else SUITES / f"{name}.toml"
    if not path.is_file() and name.endswith(".toml"):
        raise UsageError(f"--suite {name}: no such file")
    if not path.is_file():
        raise UsageError(unknown("suite", name, suite_names()))
    try:
        raw = toml.read(path)
    except ValueError as error:
        raise UsageError(f"suite {path}: {error}") from error
    return safe_name(path.stem), validated(Suite, raw, f"suite {path.stem}")
