"""The frame cut into sections: one dataset of one version under one protocol of one suite.

Only numbers of one section stand side by side. A planned run without a record knows less of itself than a finished one
(no dataset version, no network), so what all runs of its dataset share is filled in first.
"""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bench.report.style import Look, looks, ordered

if TYPE_CHECKING:
    from pandas import DataFrame

KEYS = ["suite", "protocol", "dataset", "dataset_version"]
WHERE = {"curve", "step", "train_seconds", "nfe_training", "nfe", "sampler", "solver", "steps", "rtol", "atol"}
STAGES = ("train", "likelihood", "samples", "sweep")
RUN_ID = r"^(?P<variant>(?P<dataset>.+)-(?P<baseline>[^-]+)-[0-9a-f]{6})-s(?P<seed>[0-9]+)$"
FILL = (
    ("label", "baseline"),
    ("dataset_version", "variant"),
    ("dataset_version", "dataset"),
    ("protocol", "variant"),
)


@dataclass(frozen=True)
class Incident:
    """A stage that some seeds of a variant did not finish, and everything after it."""

    variant: str
    label: str
    seeds: tuple[int, ...]
    stage: str
    status: str
    error: str

    @property
    def reason(self) -> str:
        """What stands in the place of a number: "failed in train: ..." or "missing: not run"."""
        return f"failed in {self.stage}: {self.error}" if self.status == "failed" else "missing: not run"

    def __str__(self) -> str:
        seeds = f"seed{'s' * (len(self.seeds) > 1)} {', '.join(map(str, self.seeds))}"
        what = self.reason if self.status == "failed" else f"missing: {self.stage} not run"
        return f"{self.label}, {seeds}: {what}"


@dataclass(frozen=True)
class Section:
    """What is comparable: the rows of the frame that share suite, protocol, dataset and its version."""

    suite: str
    protocol: str
    dataset: str
    version: str
    stem: str
    frame: "DataFrame"

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """The values of KEYS."""
        return self.suite, self.protocol, self.dataset, self.version

    @cached_property
    def seeds(self) -> int:
        """The most seeds that any variant has a measurement for."""
        measured = self.frame[self.frame.status == "ok"]
        return int(measured.groupby("variant").seed.nunique().max()) if len(measured) else 0

    @property
    def where(self) -> str:
        """What stands in the title of every table."""
        return f"(suite {self.suite}, protocol {self.protocol}, {count(self.seeds, 'seed')})"

    @cached_property
    def is_super_resolution(self) -> bool:
        """Whether samples were compared with the very images that they should be."""
        return bool((self.frame.metric == "psnr").any())

    @property
    def caption(self) -> str:
        """The line that goes with every table and figure."""
        return f"{self.dataset} · suite {self.suite} · protocol {self.protocol} · {count(self.seeds, 'seed')}"

    @cached_property
    def labels(self) -> dict[str, str]:
        """What each variant is called, in the order of every table and plot; a hash tells apart those of one label."""
        variants = self.frame[["variant", "baseline", "label"]].drop_duplicates("variant")
        rank = {name: i for i, name in enumerate(ordered(variants.baseline))}
        rows = sorted(each(variants), key=lambda row: (rank[row.baseline], row.variant))
        shared = variants.label.duplicated(keep=False)
        ambiguous = set(variants.variant[shared])
        return {
            row.variant: f"{row.label} {row.variant.rsplit('-', 1)[-1]}" if row.variant in ambiguous else row.label
            for row in rows
        }

    @cached_property
    def looks(self) -> dict[str, Look]:
        """Colour and marker by variant."""
        baseline = self.frame.drop_duplicates("variant").set_index("variant").baseline
        look = looks(baseline)
        return {variant: look[baseline[variant]] for variant in self.labels}

    @cached_property
    def _finite(self) -> "DataFrame":
        return self.frame[(self.frame.status == "ok") & (self.frame.value.abs() < math.inf)]

    @cached_property
    def sweep(self) -> "DataFrame":
        """Quality at few evaluations: the section's good rows of that stage with their `solver` and `nfe`."""
        frame = self._finite[self._finite.stage == "sweep"]
        frame = frame.loc[[isinstance(settings.get("nfe"), int | float) for settings in frame.parsed]]
        return frame.assign(
            solver=[str(settings.get("sampler", "")) for settings in frame.parsed],
            nfe=[float(settings["nfe"]) for settings in frame.parsed],
        )

    @cached_property
    def curve(self) -> "DataFrame":
        """Metrics in the course of training: the section's curve rows with `point`, their place in their run."""
        placed = {"step", "train_seconds", "nfe_training"}
        frame = self._finite.loc[[is_curve(settings) and placed <= settings.keys() for settings in self._finite.parsed]]
        frame = frame.assign(
            step=[int(settings["step"]) for settings in frame.parsed],
            seconds=[float(settings["train_seconds"]) for settings in frame.parsed],
        )
        frame = frame.sort_values("seconds", kind="stable")
        return frame.assign(point=frame.groupby(["run_id", "metric"]).cumcount())

    @cached_property
    def incidents(self) -> list[Incident]:
        """The first unfinished stage of every run that has one, seeds with the same story together."""
        stories: dict[tuple[str, str, str, str], list[int]] = {}
        unfinished = self.frame[self.frame.status != "ok"]
        for variant in self.labels:
            for seed, rows in unfinished[unfinished.variant == variant].groupby("seed"):
                first = min(each(rows), key=lambda row: (row.status != "failed", STAGES.index(row.stage)))
                error = str(first.error) if first.status == "failed" else ""
                story = (variant, first.stage, first.status, error)
                stories.setdefault(story, []).append(int(str(seed)))
        return [
            Incident(variant, self.labels[variant], tuple(seeds), stage, status, error)
            for (variant, stage, status, error), seeds in stories.items()
        ]

    def incidents_at(self, variant: str, stage: str) -> list[Incident]:
        """The incidents that explain why a variant lacks numbers of a stage."""
        reached = STAGES.index(stage)
        return [i for i in self.incidents if i.variant == variant and STAGES.index(i.stage) <= reached]


def sections(frame: "DataFrame") -> list[Section]:
    """The sections of a frame (see bench.records.frame), in the order in which their datasets first appear."""
    frame = _filled(frame)
    groups = list(frame.groupby(KEYS, sort=False, dropna=False))
    datasets = [key[2] for key, _ in groups]
    made = []
    for key, rows in groups:
        suite, protocol, dataset, version = (str(part) for part in key)
        stem = dataset if datasets.count(dataset) == 1 else f"{dataset}-{protocol}-{version}"
        made.append(Section(suite, protocol, dataset, version, stem, rows.reset_index(drop=True)))
    return made


def _filled(frame: "DataFrame") -> "DataFrame":
    """The frame with what a row lacks taken from rows that share its run, and `settings` parsed.

    Rows whose run cannot be told from the name of their folder are left out; `strays` lists them.
    """
    import pandas

    frame = frame.copy()
    told = frame.run_id.str.extract(RUN_ID)
    for column in told:
        frame[column] = frame[column].fillna(told[column])
    frame = frame[frame.variant.notna()].copy()
    frame["seed"] = frame.seed.astype(int)
    # A run that never wrote a record goes by the registry's name of its baseline.
    frame["label"] = frame.label.mask(frame.label == frame.baseline)
    for column, scope in FILL:
        frame[column] = frame[column].fillna(frame.groupby(scope)[column].transform("first"))
    frame["label"] = frame.label.fillna(frame.baseline)
    frame[KEYS] = frame[KEYS].ffill().bfill().fillna("unknown")
    parsed = [json.loads(text) for text in frame.settings]
    return frame.assign(parsed=pandas.Series(parsed, index=frame.index, dtype=object))


def strays(frame: "DataFrame") -> "DataFrame":
    """Rows that belong to no run: unreadable records in folders that are not named after one."""
    return frame[frame.variant.isna() & frame.run_id.str.extract(RUN_ID).variant.isna()]


def each(frame: "DataFrame") -> Iterator[Any]:
    """The rows of a frame as named tuples of plain values."""
    return iter(frame.itertuples())


def count(number: int, noun: str) -> str:
    """1 -> "1 seed", 3 -> "3 seeds"."""
    return f"{number} {noun}{'s' * (number != 1)}"


def of_one_kind(rows: "DataFrame") -> "DataFrame":
    """The rows of the settings that most rows share: a line or a claim never joins numbers of others."""
    kind = [
        json.dumps([{k: v for k, v in s.items() if k not in WHERE}, None if math.isnan(n or 0) else n], sort_keys=True)
        for s, n in zip(rows.parsed, rows.n, strict=True)
    ]
    rows = rows.assign(kind=kind)
    return rows[rows.kind == rows.kind.mode().iloc[0]] if len(rows) else rows


def is_curve(settings: dict[str, Any]) -> bool:
    """Whether a measurement was taken during training, for the curve, rather than of the finished model."""
    return bool(settings.get("curve"))


def listed(names: Iterable[str]) -> str:
    """a, b and c."""
    *most, last = list(names)
    return f"{', '.join(most)} and {last}" if most else last
