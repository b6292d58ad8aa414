"""What is not there and why: stages that were not finished, stale records, and values that could not be had.

A value that could not be had is a measurement of a good record that is not a number, with its reason: "diverged at 4
evaluations: ...". Where it would stand, its kind stands: the first words of the reason.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pandas import DataFrame, Series

from bench.config.settings import STAGES
from bench.errors import NOT_APPLICABLE

STALE = "stale"
RUNNING = "running"
LOST = "lost"
LONGEST = 24  # characters of a kind
SEVERAL = 3  # reasons of one kind that are quoted


@dataclass(frozen=True)
class Incident:
    """A stage that some seeds of a variant did not finish, or values that they lack of it."""

    variant: str
    label: str
    seeds: tuple[int, ...]
    stage: str
    status: str
    error: str

    @property
    def reason(self) -> str:
        """What stands in the place of a number: "failed in train: ...", "stale: ..." or "missing: not run"."""
        return self._told("missing: not run", self.error)

    def __str__(self) -> str:
        seeds = f"seed{'s' * (len(self.seeds) > 1)} {', '.join(map(str, self.seeds))}"
        told = self._told(f"missing: {self.stage} not run", f"{self.stage}: {self.error}")
        return f"{self.label}, {seeds}: {told}"

    def _told(self, missing: str, values_lost: str) -> str:
        told = {
            "failed": f"failed in {self.stage}: {self.error}",
            RUNNING: f"trained to {self.error} so far",
            STALE: f"stale: {self.error}",
            LOST: values_lost,
        }
        return told.get(self.status, missing)

    def explains(self, stage: str) -> bool:
        """Whether numbers of a stage may be missing for it: a stage's failure stops no other, but a training's all."""
        return self.stage == stage or (self.stage == "train" and self.status != LOST)


def unfinished(frame: DataFrame, labels: Mapping[str, str]) -> list[Incident]:
    """The unfinished stages of every run, its training alone if that is one; seeds with the same story together."""
    stories: dict[tuple[str, str, str, str], list[int]] = {}
    rows = frame[frame.status != "ok"].sort_values("stage", key=lambda names: names.map(STAGES.index), kind="stable")
    for variant in labels:
        for seed, of_seed in rows[rows.variant == variant].drop_duplicates(["seed", "stage"]).groupby("seed"):
            stages = list(of_seed[["stage", "status", "error"]].itertuples(index=False, name=None))
            for stage, status, error in stages[:1] if stages[0][0] == "train" else stages:
                story = (variant, stage, status, "" if status == "missing" else str(error))
                stories.setdefault(story, []).append(int(str(seed)))
    return [Incident(v, labels[v], tuple(seeds), *story) for (v, *story), seeds in stories.items()]


def losses(rows: DataFrame, labels: Mapping[str, str]) -> list[Incident]:
    """The values that could not be had, rows of `lost`, of one variant, stage and kind together."""
    found = []
    for variant, label in labels.items():
        of_variant = rows[rows.variant == variant]
        why = reasons(of_variant)
        for (stage, _), group in of_variant.groupby(["stage", why.map(kind)], sort=False):
            told = list(dict.fromkeys(why[group.index]))
            more = [f"and {len(told) - SEVERAL} more"] if len(told) > SEVERAL else []
            seeds = tuple(sorted({int(seed) for seed in group.seed}))
            found.append(Incident(variant, label, seeds, str(stage), LOST, "; ".join([*told[:SEVERAL], *more])))
    return found


def lost(frame: DataFrame) -> "Series[bool]":
    """Which rows are values that could not be had; those that a model cannot have by its nature are none."""
    return (frame.status == "ok") & frame.value.isna() & ~not_applicable(frame)


def not_applicable(rows: DataFrame) -> "Series[bool]":
    """Which rows are without a value that the model cannot have by its nature."""
    return rows.reason.astype("string").str.startswith(NOT_APPLICABLE, na=False).astype(bool)


def reasons(rows: DataFrame) -> "Series[str]":
    """Why each row of `lost` has no value."""
    return rows.reason.astype(object).fillna("not a number")


def kind(reason: str) -> str:
    """ "diverged at 4 evaluations: euler: ..." -> "diverged": what stands in a cell."""
    words = reason.partition(":")[0].partition(" at ")[0].strip()
    if "not finite" in words:
        return "not finite"
    return words if words and len(words) <= LONGEST else "no value"


def head(reason: str) -> str:
    """ "diverged at 4 evaluations: euler: ..." -> "diverged at 4 evaluations": what stands in a sentence."""
    return reason.partition(": ")[0]


def kinds(given: Iterable[str]) -> str:
    """Every kind of some reasons once: "diverged and out of memory"."""
    return " and ".join(dict.fromkeys(map(kind, given)))
