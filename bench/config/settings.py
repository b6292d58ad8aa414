"""The settings of a run, as a suite's file writes them: frozen, checked, with a default for all that may be left out.

A new setting whose default is the old behaviour changes no run's identity (bench/config/suite.py), and so no finished
record.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator

from bench.config.component import Component, Frozen, NamedExtractor, listed

Stage = Literal["train", "likelihood", "samples", "sweep"]
STAGES: tuple[Stage, ...] = get_args(Stage)

Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
SMALL, LARGE = 1e-6, 1e6  # whose square, and what is divided by it, float32 holds
Deviation = Annotated[float, Field(ge=SMALL, le=LARGE)]
Beta = Annotated[float, Field(ge=0, lt=1)]
NoneAtZero = BeforeValidator(lambda value: None if value == 0 else value)  # TOML has no none to override a bound with
AS_TRAINED = ("weights", "ema", "channels_last")
Seed = Annotated[int, Field(ge=0, lt=2**63)]  # what a generator and a record can hold


class Training(Frozen):
    """Budget, optimiser and bookkeeping of the one training loop.

    The budget is `steps`, `seconds` of steps, `evaluations`, or several of them, of which the first to be spent counts.
    `evaluations` are rows that go forward through a network in training, with a gradient or without, of all ranks and
    of all networks of the method (a teacher's, too): `nfe_training` times `batch`. A forward derivative (jvp), a
    validation and a backward pass count nothing, but for what an adjoint solve evaluates on its way back. Coupling
    layers (RealNVP, NICE) are the exception: a pass through all of them is one evaluation, though each of the layers
    has a network of the run's size. Training ends with the step that reaches the budget.

    Batches are draws with replacement. With `epochs` they are the training samples one after the other, in a new order
    each time; samples that are left over at the end of an epoch, too few for a batch, are in none of it.

    The weights of the last step are kept, or with `keep` = "best" those of the least loss on the validation split,
    which is looked at every `validate_every` steps (bench/training/best.py).

    The rate rises within `warmup` steps, or within `warmup_share` of the budget, which is the same schedule for methods
    whose steps cost unlike evaluations.

    `betas` are the decay rates of Adam's two moments, by default those that the method's phases have.

    `clip` bounds the norm of the gradient, and `clip_relative` its multiple of the running mean of that norm
    (bench/training/clipping.py), which means the same to losses of any unit. Of both the lower bound counts. A bound of
    0 is none.

    `batch` is the effective batch, made of pieces of `micro_batch` samples (one piece where that is not set). A piece
    has random numbers of its own, so ranks may share the pieces, and the batch is the same on any number of them.

    With `weights`, a file or folder (bench/config/elsewhere.py), nothing is trained and no budget is needed: of the
    other keys only those of AS_TRAINED count, and the rest is dropped. `ema` then says that the weights are averages.
    """

    weights: Annotated[str, Field(min_length=1)] | None = None
    steps: Positive | None = None
    seconds: Rate | None = None
    evaluations: Positive | None = None
    batch: Positive = 256
    micro_batch: Positive | None = None
    lr: Rate = 1e-3
    optimizer: Literal["adam", "adamw"] = "adam"
    betas: tuple[Beta, Beta] | None = None
    weight_decay: NonNegative = 0.0
    warmup: Annotated[int, Field(ge=0)] = 0
    warmup_share: Beta = 0.0
    decay: Literal["constant", "linear", "cosine"] = "constant"
    clip: Annotated[Rate | None, NoneAtZero] = None
    clip_relative: Annotated[Annotated[float, Field(gt=1, allow_inf_nan=False)] | None, NoneAtZero] = None
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    compile: bool = False
    channels_last: bool = False
    flip: bool = False  # horizontal, of every second training image
    shard_optimizer: bool = False  # over the ranks (ZeRO stage 1), for a model whose moments do not fit one GPU
    epochs: bool = False
    keep: Literal["last", "best"] = "last"
    validate_every: Positive = 100
    curve_points: Annotated[int, Field(ge=0)] = 0
    curve_n: Positive = 500
    checkpoint_seconds: Rate = 60.0
    stack: bool = True  # with other seeds where that is the same and sooner (bench/training/stack.py)

    @model_validator(mode="before")
    @classmethod
    def _of_weights(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and value.get("weights") is not None:
            return {k: v for k, v in value.items() if k in AS_TRAINED or k not in cls.model_fields}
        return value

    @model_validator(mode="after")
    def _has_budget(self) -> "Training":
        if self.weights is None and not self.budget:
            raise ValueError("a budget is needed: steps, seconds, evaluations or several of them")
        if self.batch % (self.micro_batch or self.batch):
            raise ValueError(f"micro_batch = {self.micro_batch} does not divide batch = {self.batch}")
        if self.warmup and self.warmup_share:
            raise ValueError(
                f"warmup = {self.warmup} and warmup_share = {self.warmup_share:g}: allowed: one of the two"
            )
        return self

    @property
    def budget(self) -> str:
        """ "2000 steps", "60 s", "1,000,000 evaluations", "2000 steps or 60 s", or "weights of FILE"."""
        if self.weights:
            return f"weights of {Path(self.weights).name}"
        budgets = {"{} steps": self.steps, "{:g} s": self.seconds, "{:,} evaluations": self.evaluations}
        return " or ".join(text.format(budget) for text, budget in budgets.items() if budget)

    @property
    def pieces(self) -> int:
        """Micro-batches of one batch: the most ranks that can share a run."""
        return self.batch // (self.micro_batch or self.batch)


class Solve(Frozen):
    """One way to solve the ODE: an adaptive method with tolerances, or a fixed-step one with `steps`.

    "dormand_prince" is our own, and "dopri5" the same method by torchdiffeq, as papers use it.
    """

    method: str = "dormand_prince"
    rtol: Rate = 1e-5
    atol: Rate = 1e-5
    steps: Positive | None = None


class Likelihood(Frozen):
    """NLL on the first `n` test samples; `draws` of the dequantisation (each K) and `probes` of Hutchinson's estimate.

    `batch` samples are solved together; how many go through the network at once is left to memory. `importance` are the
    numbers of weights that bounds on the likelihood are made of, of models that have weights; 1 is a model's own bound.
    They count for what is measured of any method, so a suite names them in the overrides of those that have weights.
    """

    n: Positive = 10_000
    batch: Positive = 1000
    solvers: tuple[Solve, ...] = (Solve(),)
    divergence: Literal["auto", "exact", "hutchinson"] = "auto"
    probes: Positive = 1
    draws: Annotated[tuple[Positive, ...], Field(min_length=1), BeforeValidator(listed)] = (1,)
    importance: Annotated[tuple[Positive, ...], Field(min_length=1), BeforeValidator(listed)] = (1,)

    @field_validator("solvers", "draws", "importance")
    @classmethod
    def _once(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if twice := [one for one in value if value.count(one) > 1]:
            raise ValueError(f"{twice[0]} is named twice")
        return value


class Samples(Frozen):
    """Quality, transport and cost of `n` samples; exact optimal transport is on the first `w2_n`.

    `samplers` are registered ones that have a row of their own beside the headline's and the method's own samplers, one
    per scale if their `guidance` is a list. A network of classes is told those of random training samples, or class
    i mod K of sample i (`labels`); real images are compared as they are, whatever their classes.
    Images are compared with the first `reference_n` of the split `reference`, all of them where that is not set.
    `metrics` are registered ones of samples, by default the usual ones of such data; curves and sweeps take those of
    them that say so. `limits` says by the name of a metric how many samples it takes at most, if not as many as its
    file says. All that is measured of samples is the mean over `repeats` draws of `n`, each from random numbers of its
    own; samples that start from given points have 1. `extractors` are of features of images, by default the dataset's
    own; `weights` is the file of one that has none by itself. The energy of paths is integrated from `path_times` even
    times by the trapezoidal rule, or by the left sum of `path_rule` = "left" (bench/metrics/path_energy.py).
    """

    n: Positive = 10_000
    batch: Positive = 10_000
    repeats: Positive = 1
    metrics: Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(listed)] | None = None
    limits: dict[str, Positive] = Field(default={})
    extractors: Annotated[tuple[NamedExtractor, ...], Field(min_length=1), BeforeValidator(listed)] | None = None
    solver: Solve = Solve()
    samplers: tuple[Component, ...] = ()
    labels: Literal["train", "balanced"] = "train"
    reference: Literal["train", "test"] = "train"
    reference_n: Positive | None = None
    w2_n: Positive = 2000
    path_n: Positive = 2000
    path_times: Annotated[int, Field(ge=2)] = 101
    path_rule: Literal["trapezoid", "left"] = "trapezoid"

    @field_validator("extractors")
    @classmethod
    def _named_once(cls, value: tuple[NamedExtractor, ...] | None) -> tuple[NamedExtractor, ...] | None:
        names = [extractor.name for extractor in value or ()]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"extractor {twice[0]!r} is named twice")
        return value


class Sweep(Frozen):
    """Quality at few evaluations: each sampler at each NFE if it has steps, or else at each tolerance.

    A sampler has a row at an NFE of which it makes whole steps; a step under a guidance other than 0 and 1 costs twice.

    `samplers` are registered ones, by default `solvers` and dormand_prince; one whose options say its steps or
    tolerances has no other row, and one whose `guidance` is a list has its rows per scale. `batch` samples are solved
    together, all of them where that is not set. The error that a solver leaves is measured on `error_n` samples against
    the midpoint rule at 1000 evaluations.
    """

    n: Positive = 1000
    batch: Positive | None = None
    solvers: tuple[str, ...] = ("euler", "midpoint", "rk4")
    samplers: tuple[Component, ...] | None = None
    nfe: tuple[Positive, ...] = (4, 8, 12, 20, 40)
    tolerances: tuple[Rate, ...] = (1e-1, 1e-2, 1e-3)
    error_n: Annotated[int, Field(ge=0)] = 0

    @property
    def components(self) -> tuple[Component, ...]:
        usual = tuple(Component(name=name) for name in (*self.solvers, "dormand_prince"))
        return usual if self.samplers is None else self.samplers


class Evaluation(Frozen):
    """The stages after training; one that is absent is not run."""

    likelihood: Likelihood | None = None
    samples: Samples | None = None
    sweep: Sweep | None = None
