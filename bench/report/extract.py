"""The rows of one section and what they say of themselves: names, looks, facts, curves, sweeps, and what is absent."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pandas import DataFrame

from bench.metrics.metric import Facts, is_beside, metric_of
from bench.records.frame import MEASURED
from bench.records.measurement import ELSEWHERE, PLACE
from bench.report import vocabulary
from bench.report.incidents import Incident, losses, lost, not_applicable, unfinished
from bench.report.lost_points import PLAIN
from bench.report.style import Look, looks_of, ordered

KEYS = ["suite", "protocol", "dataset", "dataset_version", "setting", "current"]
LARGEST = 1e15  # of anything that is counted


@dataclass(frozen=True)
class Extract:
    """What is comparable: the rows of the frame that share suite, protocol, dataset, its version and its setting."""

    suite: str
    protocol: str
    dataset: str
    version: str
    setting: str  # what tells the dataset from others of its name in the suite ("mean = 3.0"), or ""
    current: bool  # whether the runs are those of the current plan, rather than of earlier settings
    name: str  # the dataset in headings, told from that of every other section
    stem: str  # of the section's files
    frame: DataFrame
    company: tuple[str, ...] = ()  # all baselines of the report, which share out the looks

    @property
    def identity(self) -> tuple[str, str, str, str, str, bool]:
        """The values of KEYS."""
        return self.suite, self.protocol, self.dataset, self.version, self.setting, self.current

    @cached_property
    def seeds(self) -> int:
        """The most seeds that any variant has a measurement for."""
        seeds = self.frame[self.frame.status == "ok"].groupby("variant").seed.nunique()
        return int(seeds.max()) if len(seeds) else 0

    @cached_property
    def shares_seeds(self) -> bool:
        """Whether some records are of before runs drew by their dataset, too: of two datasets of a seed, the same.

        Right after that every likelihood got its defensive twin. Records without a likelihood do not tell.
        """
        runs = {name: set(of.run_id) for name, of in self.frame[self.frame.status == "ok"].groupby("metric")}
        return any(runs.get(plain, set()) - runs.get(twin, set()) for plain, twin in PLAIN.items())

    @cached_property
    def is_super_resolution(self) -> bool:
        """Whether every image is given something that it should fit, by the records or by what was measured of it."""
        if self.frame.given.notna().any():
            measured = [metric_of(name) for name in self.frame.metric.unique()]
            of_points = any(known.data == "points" for known in measured if known)
            return bool(self.frame.given.eq(True).any()) and not of_points
        names = self.frame.metric[(self.frame.status == "ok") & ~not_applicable(self.frame)].unique()
        return any(known.needs == "pairs" for name in names if (known := metric_of(name)))

    @cached_property
    def elsewhere(self) -> dict[str, dict[str, Any]]:
        """Of each variant that was made elsewhere, by its records, where its samples are from."""
        rows = self.frame[(self.frame.network == ELSEWHERE) & (self.frame.status == "ok")]
        ways = [(row.variant, row.parsed) for row in each(rows) if row.parsed.get("sampler") == ELSEWHERE]
        return {variant: settings.get("options", {}) for variant, settings in ways}

    @property
    def where(self) -> str:
        """What stands in the title of every table."""
        return f"(suite {self.suite}, protocol {self.protocol}, {count(self.seeds, 'seed')})"

    @property
    def caption(self) -> str:
        """The line that goes with every figure."""
        return f"{self.name} · {self.where[1:-1].replace(', ', ' · ')}"

    @cached_property
    def labels(self) -> dict[str, str]:
        """By variant, in the order of every table and plot."""
        variants = self.frame[["variant", "baseline", "label"]].drop_duplicates("variant")
        rank = {name: i for i, name in enumerate(ordered(variants.baseline))}
        rows = sorted(each(variants), key=lambda row: (rank[row.baseline], row.label, row.variant))
        return {row.variant: row.label for row in rows}

    @cached_property
    def looks(self) -> dict[str, Look]:
        baseline = self.frame.drop_duplicates("variant").set_index("variant").baseline
        return looks_of({variant: baseline[variant] for variant in self.labels}, self.company)

    def metric(self, name: str, stage: str = "samples") -> str | None:
        """The metric that "nll", "quality" or "frechet" stands for; another name as it is, and None if there is none.

        The likelihood is the defensive one if every record with a plain one has it too, else the plain one.
        Quality is the first metric of quality with a direction that most variants measure in the samples, and in
        another stage too, if that measures it; else the first of the stage. The Frechet distance is that of Inception
        or else of the first extractor.
        """
        if name == "nll":
            return self._likelihoods[stage == "train"]
        if name == "frechet":
            known = dict.fromkeys(
                m for m in self.frame.metric if m == "fid" or (m.startswith("fd_") and not is_beside(m))
            )
            return "fid" if "fid" in known else next(iter(known), None)
        return self._qualities.get(stage, next(iter(self._qualities.values()), None)) if name == "quality" else name

    @cached_property
    def _likelihoods(self) -> dict[bool, str]:
        """What "nll" stands for, of curves (True) and of trained models."""
        plain = "nll_bpd" if (self.frame.metric == "nll_bpd").any() else "nll_nats"
        rows = self.frame[self.frame.status.isin(MEASURED) & ~not_applicable(self.frame)]
        found = {}
        for of_curve in (True, False):
            places = rows[(rows.stage == "train") == of_curve].assign(step=rows.step.fillna(-1))
            having = {name: set(zip(of.run_id, of.step, strict=True)) for name, of in places.groupby("metric")}
            known, twin = having.get(plain, set()), PLAIN[plain]
            found[of_curve] = twin if known and known <= having.get(twin, set()) else plain
        return found

    @cached_property
    def _qualities(self) -> dict[str, str]:
        rows = self.frame[(self.frame.group == "quality") & (self.frame.direction != "") & (self.frame.status == "ok")]
        rows = rows[~not_applicable(rows)]
        by_stage: dict[str, str] = {}
        for stage in dict.fromkeys(["samples", *rows.stage]):
            of_stage = rows[rows.stage == stage]
            firsts = of_stage.drop_duplicates("variant").groupby("metric", sort=False).size()
            if len(firsts):
                shared = by_stage.get("samples", "")
                by_stage[stage] = shared if shared in set(of_stage.metric) else str(firsts.idxmax())
        return by_stage

    def about(self, metric: str) -> Facts:
        """How a metric is shown, by what its records say of it."""
        return self._about.get(metric) or vocabulary.metric(metric)

    @cached_property
    def _about(self) -> dict[str, Facts]:
        rows = each(self.frame.drop_duplicates("metric"))
        return {row.metric: vocabulary.recorded(row) for row in rows if isinstance(row.title, str) and row.title}

    @cached_property
    def _numbers(self) -> DataFrame:
        """The rows that have a finite value, and those whose value was lost: NaN, with its reason."""
        had = self.frame.status.isin(MEASURED) & (self.frame.value.abs() < math.inf)
        return self.frame[had | lost(self.frame)]

    @cached_property
    def sweep(self) -> DataFrame:
        """Quality at few evaluations, or what was lost of it, with `solver` and `nfe` (NaN if it was never known)."""
        frame = self._numbers[self._numbers.stage == "sweep"]
        frame = frame.assign(
            solver=[str(settings.get("sampler", "")) for settings in frame.parsed],
            nfe=frame.nfe.where((frame.nfe > 0) & (frame.nfe < LARGEST)),
        )
        return frame[(frame.nfe.notna() | frame.value.isna()) & ~frame.metric.map(is_beside).astype(bool)]

    @cached_property
    def curve(self) -> DataFrame:
        """Metrics in the course of training, or what was lost of them, with `point`, their place in their run.

        `samples` and `evaluations` are rows: a step and an evaluation of a batch count as many as the batch has.
        """
        frame = self._numbers[(self._numbers[list(PLACE)].abs() < LARGEST).all(axis=1)]
        frame = frame.assign(
            step=frame.step.astype(int),
            samples=frame.step * frame.global_batch,
            seconds=frame.train_seconds,
            evaluations=frame.nfe_training * frame.global_batch,
        ).sort_values("seconds", kind="stable")
        return frame.assign(point=frame.groupby(["run_id", "metric"]).cumcount())

    @cached_property
    def incidents(self) -> list[Incident]:
        """What some seeds lack: stages that they did not finish, and values that they could not have."""
        return [*unfinished(self.frame, self.labels), *losses(self.frame[lost(self.frame)], self.labels)]

    def incidents_at(self, variant: str, stage: str) -> list[Incident]:
        """The incidents that explain why a variant lacks numbers of a stage."""
        return [i for i in self.incidents if i.variant == variant and i.explains(stage)]


def each(frame: DataFrame) -> Iterator[Any]:
    """The rows of a frame as named tuples of plain values."""
    return iter(frame.itertuples())


def count(number: int, noun: str) -> str:
    """1 -> "1 seed", 3 -> "3 seeds"."""
    return f"{number} {noun}{'s' * (number != 1)}"


def listed(names: Iterable[str]) -> str:
    """a, b and c."""
    *most, last = list(names)
    return f"{', '.join(most)} and {last}" if most else last
