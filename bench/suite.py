"""A suite says all of one experiment in a TOML file; a Run is one cell of it, frozen and hashed.

    protocol = "small"
    seeds = [0, 1, 2]
    [[experiments]]
    dataset = "checkerboard"                     # or { name = "...", option = value }, or a list of either
    network = { name = "mlp", width = 128 }
    baselines = ["fm_ot", "ffjord"]
    training = { steps = 2000, batch = 512, lr = 2e-3 }
    evaluation.likelihood = { n = 2000 }
    overrides.ffjord = { training.steps = 300, options.rtol = 1e-4 }
    protocols.smoke = { training.steps = 10 }               # --protocol smoke

bench/plan.py turns it into runs. The identity of a run hashes what was asked for, so that finished work is recognised
without importing a trainer; records say what code answered.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from bench.errors import UsageError
from bench.registry import unknown

Stage = Literal["train", "likelihood", "samples", "sweep"]
STAGES: tuple[Stage, ...] = get_args(Stage)
Protocol = Literal["smoke", "small", "paper"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
SUITES = Path(__file__).parent / "suites"

Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0)]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Component(Frozen):
    """A registered name with its options; written as a plain name where there are none."""

    name: str
    options: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _from_toml(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, Mapping) and "options" not in value and "name" in value:
            return {"name": value["name"], "options": {k: v for k, v in value.items() if k != "name"}}
        return value


class Training(Frozen):
    """Budget, optimiser and bookkeeping of the one training loop."""

    steps: Positive | None = None
    seconds: Rate | None = None
    batch: Positive = 256
    lr: Rate = 1e-3
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    warmup: Annotated[int, Field(ge=0)] = 0
    decay: Literal["constant", "linear", "cosine"] = "constant"
    clip: Rate | None = None
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    curve_points: Annotated[int, Field(ge=0)] = 0
    curve_n: Positive = 500
    checkpoint_seconds: Rate = 60.0

    @model_validator(mode="after")
    def _has_budget(self) -> "Training":
        if self.steps is None and self.seconds is None:
            raise ValueError("a budget is needed: steps, seconds or both")
        return self


class Solve(Frozen):
    """One way to solve the ODE: an adaptive method with tolerances, or a fixed-step one with `steps`."""

    method: str = "dopri5"
    rtol: Rate = 1e-5
    atol: Rate = 1e-5
    steps: Positive | None = None


class Likelihood(Frozen):
    """NLL on the first `n` test samples; `draws` dequantisations (K) and `probes` for Hutchinson's estimate."""

    n: Positive = 10_000
    batch: Positive = 1000
    solvers: tuple[Solve, ...] = (Solve(),)
    divergence: Literal["auto", "exact", "hutchinson"] = "auto"
    probes: Positive = 1
    draws: Positive = 1


class Samples(Frozen):
    """Quality, transport and cost of `n` samples; exact optimal transport is on the first `w2_n`."""

    n: Positive = 10_000
    batch: Positive = 10_000
    solver: Solve = Solve()
    w2_n: Positive = 2000
    path_n: Positive = 2000
    path_times: Annotated[int, Field(ge=2)] = 101


class Sweep(Frozen):
    """Quality at few evaluations: every fixed-step solver at every NFE, and dopri5 at every tolerance."""

    n: Positive = 1000
    solvers: tuple[str, ...] = ("euler", "midpoint", "rk4")
    nfe: tuple[Positive, ...] = (4, 8, 12, 20, 40)
    tolerances: tuple[Rate, ...] = (1e-1, 1e-2, 1e-3)


class Evaluation(Frozen):
    """The stages after training; one that is absent is not run."""

    likelihood: Likelihood | None = None
    samples: Samples | None = None
    sweep: Sweep | None = None


class Run(Frozen):
    """One dataset, network, baseline and seed with all settings."""

    suite: str
    protocol: str
    dataset: Component
    network: Component
    baseline: Component
    training: Training
    evaluation: Evaluation
    seed: int

    @property
    def stages(self) -> tuple[Stage, ...]:
        """train, then the stages that the evaluation asks for."""
        return tuple(s for s in STAGES if s == "train" or getattr(self.evaluation, s) is not None)

    @cached_property
    def variant(self) -> str:
        """Identity without the seed: runs of one variant are averaged, others never."""
        settings = self.model_dump(mode="json", exclude={"suite": True, "seed": True, "evaluation": True})
        del settings["training"]["checkpoint_seconds"]
        return f"{self.dataset.name}-{self.baseline.name}-{_digest(settings)}"

    @property
    def run_id(self) -> str:
        return f"{self.variant}-s{self.seed}"

    def fingerprint(self, stage: Stage) -> str:
        """What a finished record of the stage must quote: another evaluation repeats the stage, not the training."""
        if stage == "train":
            return self.run_id
        return f"{self.run_id}-{_digest(getattr(self.evaluation, stage).model_dump(mode='json'))}"


class Experiment(Frozen):
    """Datasets, one or a list of them, with what is done on each."""

    dataset: Annotated[tuple[Component, ...], BeforeValidator(lambda v: v if isinstance(v, (list, tuple)) else [v])]
    network: Component
    baselines: tuple[str, ...]
    training: Training
    evaluation: Evaluation = Evaluation()
    seeds: tuple[int, ...] | None = None
    overrides: dict[str, dict[str, Any]] = {}
    protocols: dict[str, dict[str, Any]] = {}

    @model_validator(mode="after")
    def _names_apply(self) -> "Experiment":
        known = {"overrides": ("baseline of this experiment", self.baselines), "protocols": ("protocol", PROTOCOLS)}
        for key, (kind, names) in known.items():
            for name in getattr(self, key):
                if name not in names:
                    raise ValueError(f"{key}: " + unknown(kind, name, list(names)))
        return self


class Suite(Frozen):
    """A file: its default protocol, its seeds and its experiments."""

    about: str = ""
    protocol: Protocol = "small"
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
    experiments: Annotated[tuple[Experiment, ...], Field(min_length=1)]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:6]


def suite_names() -> list[str]:
    """Names of the suites that come with the project."""
    return sorted(p.stem for p in SUITES.glob("*.toml"))


def suite_path(name: str) -> Path:
    """File of a suite given by name or by path; UsageError if there is none."""
    path = Path(name) if name.endswith(".toml") else SUITES / f"{name}.toml"
    if not path.is_file():
        raise UsageError(
            f"--suite {name}: no such file" if name.endswith(".toml") else unknown("suite", name, suite_names())
        )
    return path


def load_suite(name: str) -> tuple[str, Suite]:
    """The suite's name (its file's stem) and its contents; UsageError names the key, the value and what is allowed."""
    path = suite_path(name)
    try:
        raw = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"suite {path}: {error}") from error
    return path.stem, validated(Suite, raw, f"suite {path.stem}")


def validated(model: type[Any], raw: Any, where: str) -> Any:
    """model(**raw), with one complaint of pydantic's as one line that names key, value and what is allowed."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        # A misspelt key comes before the missing one that it was meant to be.
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            fields = fields_at(model, first["loc"][:-1])
            raise UsageError(f"{where}: " + unknown("key", str(first["loc"][-1]), fields) + f" (at {key})") from error
        message = first["msg"].removeprefix("Value error, ")
        given = "" if first["type"] in ("missing", "value_error") else f" = {first['input']!r}"
        raise UsageError(f"{where}: {key}{given}: {message}") from error


def fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the model that a validation error's location leads to."""
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            inner: list[Any] = [model.model_fields[part].annotation]
            while inner and not (isinstance(inner[0], type) and issubclass(inner[0], BaseModel)):
                inner = [a for i in inner for a in get_args(i)]
            if inner:
                model = inner[0]
    return list(model.model_fields)
