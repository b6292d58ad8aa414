"""Claims about methods, as small declarations that records support or contradict.

A claim says that an effect of a subject against a rival stays below a bound, for every subject, rival and condition
that it names. An effect is one number per dataset and seed, signed so that lower is better for the subject:

    value        the metric of the trained model
    spread       the standard deviation of that metric over seeds: one number per dataset, so that it takes three
                 datasets to judge it (an F-test on one would hang on the metric's being normal)
    variation    log(max / min) of the metric along training, from an eighth of the budget on
    few          the metric with few evaluations, geometric mean over `nfe`, with each of `solvers`
    at           the metric at `subject_at` of the subject and at `against_at` of the rival (`At`)
    to_error     evaluations that the midpoint rule needs for the same error of the ODE
    to_target    `over` (training steps, seconds or evaluations) until the metric reaches the worse of both final values

on the scale of a difference x_subject - x_rival or of a ratio x_subject / x_rival. bench/report/verdicts.py judges
them. Claims stand in the claims.toml of a paper (bench/papers/paper.py), in a TOML file of a user (`--claims`), or in a
plugin that calls `register_claim`.
"""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from bench.config import toml
from bench.config.registry import claims as _registered
from bench.config.registry import papers
from bench.config.settings import Frozen, Positive, listed
from bench.config.validated import validated
from bench.errors import UsageError
from bench.records.seal import read_json, write_json

REMEMBERED = "claims.json"
SHORT = 28  # characters of a short title
RATIO = 1.05  # of what is tied
ADAPTIVE = "adaptive"  # in the place of a sampler: whichever goes by tolerances

Names = Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(listed)]
Measure = Literal["value", "spread", "variation", "few", "at", "to_error", "to_target"]


class At(Frozen):
    """How one side of a claim draws its samples: evaluations, a sampler, or both.

    Attributes:
        nfe: evaluations a sample. The side is scored at the most of its sweep within so many, if these are more than
            half of them; without nfe in the samples. A method that no sampler of the sweep draws from has no place
            there: a claim on it goes without nfe.
        sampler: the name in the record, with its options ("ddim", "euler-karras", "flow_map-1"); by default that of the
            best mean over seeds. "adaptive", without nfe, is whichever solver goes by tolerances.
    """

    nfe: Positive | None = None
    sampler: str = ""

    @model_validator(mode="after")
    def _says_something(self) -> "At":
        if self.nfe is None and not self.sampler:
            raise ValueError("expected nfe, sampler or both")
        if self.nfe and self.sampler == ADAPTIVE:
            raise ValueError(f"nfe = {self.nfe}: a solver that goes by tolerances takes no number of evaluations")
        return self


class Claim(Frozen):
    """One claim.

    Attributes:
        short: the title where there is little room, in a table.
        metric: a metric's name, or "nll" (nats or bits/dim, whichever the data has; the defensive NLL if every record
            has it, else the plain one, as the effect's text says), "quality" (the first metric of quality that the
            samples are measured by) or "frechet" (the Frechet distance of images, by whichever extractor). A paper's
            claim is not judged on data that the metric is not for.
        bound: what the effect must stay below; by default 0 for a difference and 1 for a ratio. A negative difference
            or a ratio below 1 asks for a lead, a positive one or a ratio above 1 allows for a lag ("at least as good").
        margin: a difference or ratio that is as good as none, by which methods are called tied; by default 0.01 nats,
            1% of the rival's bits/dim, and a ratio of 1.05. Another difference has none, and nor has a claim with a
            bound of its own: that bound is a margin already.
        scale: "auto" is a difference for likelihoods, a ratio for everything else. A ratio of what may be negative by
            chance, as an unbiased distance near 0, may not be finite and decides nothing then.
        over: what `to_target` counts; evaluations in training are counted by sample.
        solvers, nfe: what `few` is measured with.
        subject_at, against_at: what `at` is measured with; a method may meet itself. Either both have an nfe or
            neither, as the sweep has another number of samples.
        test: paired Student's t, or the exact sign-flip test, which assumes only symmetry and can decide from 6 pairs
            on (beyond 20 of them Student's t stands for it).
        seeds: the fewest pairs on a dataset that the claim is judged by.
        paper: the folder of the paper that makes it, "" for a claim of a user's own.
    """

    id: str
    title: str
    short: Annotated[str, Field(max_length=SHORT)] = ""
    source: str = ""
    subject: Names
    against: Names
    measure: Measure = "value"
    metric: str = "nll"
    over: Literal["step", "train_seconds", "nfe_training"] = "step"
    solvers: tuple[str, ...] = ("euler", "midpoint", "rk4")
    nfe: tuple[Positive, ...] = (4, 8, 10, 20)
    subject_at: At | None = None
    against_at: At | None = None
    scale: Literal["auto", "difference", "ratio"] = "auto"
    bound: float | None = None
    margin: Annotated[float, Field(gt=0)] | None = None
    test: Literal["paired_t", "sign_flip"] = "paired_t"
    seeds: Annotated[int, Field(ge=2)] = 3
    paper: str = ""

    @model_validator(mode="after")
    def _can_be_judged(self) -> "Claim":
        if self.test == "sign_flip" and self.seeds < 6:
            raise ValueError(f"seeds = {self.seeds}: the sign-flip test can decide from 6 seeds on")
        if self.measure == "to_error" and self.metric != "ode_error":
            raise ValueError(f"metric = {self.metric!r}: to_error is about 'ode_error'")
        if self.measure in ("few", "at") and self.metric.startswith("nll"):
            raise ValueError(
                f"metric = {self.metric!r}: {self.measure} is about 'quality' or another metric of samples"
            )
        places = [self.subject_at, self.against_at]
        if (self.measure == "at") != all(places) or any(places) != all(places):
            raise ValueError(f"measure = {self.measure!r}: 'at', and no other, has subject_at and against_at")
        if len({place.nfe is None for place in places if place}) > 1:
            raise ValueError("subject_at, against_at: expected nfe in both or in neither")
        if self.measure in ("to_error", "to_target", "spread") and not self.is_ratio:
            what = "standard deviations" if self.measure == "spread" else "evaluations or times"
            raise ValueError(f"scale = 'difference': {self.measure} compares {what}, by their ratio")
        if self.is_ratio and self.bound is not None and self.bound <= 0:
            raise ValueError(f"bound = {self.bound}: of a ratio it must be positive")
        if self.margin and self.limit != self.equality:
            raise ValueError(
                f"margin = {self.margin}: a claim with bound = {self.bound} has none: its bound is a margin"
            )
        if self.margin and self.is_ratio and self.margin <= 1:
            raise ValueError(f"margin = {self.margin}: of a ratio it must be above 1")
        return self

    @property
    def is_ratio(self) -> bool:
        """Whether effects are ratios, judged by their logarithm."""
        if self.scale == "auto":
            return not (self.measure == "value" and self.metric.startswith("nll"))
        return self.scale == "ratio"

    @property
    def equality(self) -> float:
        """The effect of a subject that is neither better nor worse."""
        return 1.0 if self.is_ratio else 0.0

    @property
    def limit(self) -> float:
        """What an effect must stay below, on its own scale."""
        return self.equality if self.bound is None else self.bound

    @property
    def threshold(self) -> float:
        """What an effect is tested against: the limit, of a ratio its logarithm."""
        return math.log(self.limit) if self.is_ratio else self.limit

    def tied_within(self, unit: str, level: float) -> float:
        """The margin of an effect in that unit, its logarithm if it is a ratio; NaN for none.

        `level` is the rival's mean value.
        """
        if self.limit != self.equality:
            return math.nan
        if self.is_ratio:
            return math.log(self.margin or RATIO)
        return self.margin or {"nats": 0.01, "bits/dim": 0.01 * level}.get(unit, math.nan)


def register_claim(claim: Claim) -> Claim:
    """File a claim for the reports of this process; UsageError if another one has its id."""
    if claim.id in {c.id for c in of_papers()} or _registered.setdefault(claim.id, claim) != claim:
        raise UsageError(f"claim {claim.id!r} is declared twice; choose another id")
    return claim


def load_claims(path: Path, paper: str = "") -> list[Claim]:
    """The `[[claims]]` of a TOML file, of that paper; UsageError names the key, the value and what is allowed."""
    try:
        raw = toml.read(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"claims {path}: {getattr(error, 'strerror', None) or error}") from error
    if set(raw) != {"claims"} or not isinstance(raw["claims"], list):
        raise UsageError(f"claims {path}: keys {', '.join(raw) or 'none'}; expected one [[claims]] table per claim")
    found = [validated(Claim, entry, f"claims {path.name}[{i}]") for i, entry in enumerate(raw["claims"])]
    return [claim.model_copy(update={"paper": paper}) for claim in found]


def of_papers() -> list[Claim]:
    return [claim for paper in papers.values() for claim in paper.claims]


def own() -> list[Claim]:
    """What this process has registered beside the papers."""
    return list(_registered.values())


def declared(root: Path) -> tuple[list[Claim], list[str]]:
    """The papers' claims, those remembered beside the records and those of this process; what could not be read."""
    remembered, complaints = _remembered(root)
    known = {(claim.paper, claim.id): claim for claim in [*of_papers(), *remembered, *own()]}
    return list(known.values()), complaints


def remember(root: Path) -> bool:
    """Keep this process's own claims beside the records, for reports without their plugin; whether any was new."""
    kept, _ = _remembered(root)
    known = list({claim.id: claim for claim in [*kept, *own()]}.values())
    if known != kept:
        write_json(root / REMEMBERED, {"claims": [claim.model_dump(mode="json") for claim in known]})
    return known != kept


def _remembered(root: Path) -> tuple[list[Claim], list[str]]:
    found: list[Claim] = []
    complaints: list[str] = []
    try:
        entries: Any = read_json(root / REMEMBERED).get("claims")
        if not isinstance(entries, list):
            raise ValueError("not a list of claims")
    except FileNotFoundError:
        entries = []
    except (OSError, ValueError) as error:
        return [], [f"{REMEMBERED}: {error}"]
    for i, entry in enumerate(entries):
        try:
            found.append(validated(Claim, entry, f"{REMEMBERED}[{i}]"))
        except UsageError as error:
            complaints.append(str(error))
    return found, complaints
