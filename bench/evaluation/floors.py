"""What as many fresh data score in the place of samples: the floor of a metric, which a perfect model would reach.

Fresh is the first split of FRESH that neither the reference nor the metric itself is of; of data with a posterior it is
what that draws anew, given the same as the reference. Samples that are given what the reference is, without a
posterior, have no floor: other data is given something else, which a perfect model would be far better than. Of m
disjoint subsets, each as large as the samples and spread evenly over that split, with the values v_1 ... v_m,

    floor = (v_1 + ... + v_m) / m,    stderr = s / sqrt(m),    s^2 = sum_i (v_i - floor)^2 / (m - 1)

m is `repeats` in the settings, SUBSETS or as many as the split has; one has the metric's own standard error. A floor is
of data, metric and n, whatever the run, so it is measured once and kept in data_dir/floors.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.errors import NOT_APPLICABLE
from bench.evaluation.collected import POSTERIOR, Collected
from bench.evaluation.kept import kept
from bench.evaluation.lost import Lost
from bench.evaluation.parts import Rows, attempt, without
from bench.evaluation.quality import Judge, Quality
from bench.evaluation.repeats import mean_of
from bench.identity import identity
from bench.methods.finite import complaint
from bench.metrics.extractors.reference import LEAST
from bench.metrics.metric import FLOOR, Metric
from bench.training import ranks
from bench.training.seeds import number

SUBSETS = 5
FRESH = ("train", "test", "validation")


def floors(judge: Judge, n: int, stage: str = "samples") -> Rows:
    """The floors of all metrics of a stage's n samples but those of pairs, each number's name ending in _floor.

    `floor_split` in their settings is where the fresh data is from. All are on the main rank.
    """
    if not ranks.is_main():
        return []
    metrics = [metric for metric in judge.taken(stage) if metric.needs != "pairs"]
    try:
        found = [row for metric in metrics for row in _floors_of(judge, metric, n, stage)]
    finally:
        for reference in judge.references if judge.of_features else ():
            reference.parts.clear()
    return [replace(row, metric=f"{row.metric}{FLOOR}") for row in found]


def _floors_of(judge: Judge, metric: Metric, n: int, stage: str) -> Rows:
    split = fresh(judge, metric)
    held = _held(judge, split)
    quality = Quality(judge, [metric], max(LEAST, min(n, held)), stage, {"floor_split": split})
    if held < LEAST:
        has_same = _is_given_as_reference(judge)
        why = "given what its samples are" if has_same else f"fresh to {metric.name}"
        return without(quality.rows, f"{NOT_APPLICABLE}: no split of {judge.dataset.name} is {why}")
    return [row for _, collected, rows in quality.of for row in _measured(judge, metric, collected, rows, split)]


def _held(judge: Judge, split: str) -> int:
    """How many samples of it are fresh."""
    return len(getattr(judge.dataset, "test" if split == POSTERIOR else split)) if split else 0


def fresh(judge: Judge, metric: Metric) -> str:
    """The split whose data stands for samples, or POSTERIOR; "" if all are known to the reference or to the metric."""
    if judge.dataset.posterior and not judge.dataset.is_image:
        return POSTERIOR
    if _is_given_as_reference(judge):
        return ""
    known = {judge.reference_split, *(["train", "test"] if metric.of_train else [])}
    splits = (split for split in FRESH if split not in known and getattr(judge.dataset, split) is not None)
    return next(splits, "")


def _is_given_as_reference(judge: Judge) -> bool:
    """Whether each sample is given what the example of the reference in its place is."""
    return judge.dataset.is_given and judge.reference_split == "test"


def _measured(judge: Judge, metric: Metric, collected: Collected, rows: Rows, split: str) -> Rows:
    n = collected.needed(metric)
    parts = SUBSETS if split == POSTERIOR else min(SUBSETS, _held(judge, split) // n)
    rows = [replace(row, settings={**row.settings, "repeats": parts}) for row in rows]

    def once(part: int) -> Rows:
        real = collected.fresh(split, n, part, parts)
        return judge.again(number(0, "floor", part)).measured(metric, real, rows)

    def make() -> Rows:
        data, code = judge.dataset, identity.floor(metric.name, judge.dataset.name, judge.dataset.is_image)
        facts = [n, *((row.metric, row.n, row.settings) for row in rows)]
        values = kept(judge.data_dir, data, metric.name, code, facts, lambda: _values([once(i) for i in range(parts)]))
        found = [
            [replace(row, value=float(v), stderr=None if math.isnan(e) else float(e)) for row, (v, e) in each]
            for each in (zip(rows, part, strict=True) for part in values)
        ]
        return mean_of(found)

    return rows if rows[0].reason else attempt(rows, make)


def _values(repeats: list[Rows]) -> NDArray[np.float64]:
    """Value and standard error (NaN for none) of each row of each repeat, (repeats, rows, 2); Lost if one has none."""
    if why := next((row.reason for rows in repeats for row in rows if row.reason), None):
        raise Lost("", why)
    found = np.array([[(row.value, row.stderr) for row in rows] for rows in repeats], np.float64)
    if why := complaint(int((~np.isfinite(found[..., 0])).sum()), found[..., 0].size, "values"):
        raise Lost("", why)
    return found
