"""Paired effects of a claim in one section: one number a seed, lower being better for the subject.

    difference   e_s = x_s(subject) - x_s(rival)                    ratio   e_s = log x_s(subject) - log x_s(rival)

Runs of one seed share initial weights, minibatches and the noise of their samples where the methods allow it, so
effects are paired by seed. A metric of which more is better enters with its sign turned.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bench.claims import Claim
from bench.report import vocabulary
from bench.report.cells import of_section
from bench.report.crossings import crossing, nfe_ratio
from bench.report.scores import distance_metric, likelihood_metric, settled
from bench.report.sections import Section

if TYPE_CHECKING:
    import numpy as np
    from pandas import DataFrame, Series

    Array = np.ndarray[Any, Any]

EARLY = 1 / 8  # share of the training that `variation` leaves out


@dataclass(frozen=True)
class Comparison:
    """What is compared: a subject with a rival, and under which condition ("euler"), "" where there is one alone."""

    subject: str
    rival: str
    condition: str = ""

    @property
    def sides(self) -> tuple[str, str]:
        """Subject and rival."""
        return self.subject, self.rival


def comparisons(claim: Claim) -> list[Comparison]:
    """Everything that must hold for the claim to hold."""
    conditions = claim.solvers if claim.measure == "few" else ("",)
    return [Comparison(s, r, c) for s in claim.subject for r in claim.against for c in conditions if s != r]


def metric_of(claim: Claim, section: Section) -> str | None:
    """The metric that stands for "nll" or "quality" in the section; None where it has none."""
    if claim.metric == "nll":
        return likelihood_metric(section)
    return distance_metric(section) if claim.metric == "quality" else claim.metric


class Effects:
    """The effects of one claim in one section.

    Args:
        cells: of `bench.report.cells.headline`, which settles the settings that values are compared under.
        rows: of `bench.report.cells.measured`, the values themselves.
    """

    def __init__(self, claim: Claim, section: Section, cells: "DataFrame", rows: "DataFrame") -> None:
        self.claim, self.section, self.cells, self.rows = claim, section, cells, rows
        self.metric = metric_of(claim, section)
        self._found: dict[Comparison, Series[float]] = {}
        higher = self.metric is not None and vocabulary.metric(self.metric).better == "higher"
        self.sign = -1 if higher else 1

    def of(self, comparison: Comparison) -> "Series[float]":
        """e_s by seed; empty where one side or the metric is missing."""
        import pandas

        if comparison not in self._found:
            measure: Callable[[Comparison], dict[int, float]] = getattr(self, f"_{self.claim.measure}")
            found = measure(comparison) if self.metric else {}
            finite = {seed: effect for seed, effect in sorted(found.items()) if math.isfinite(effect)}
            self._found[comparison] = pandas.Series(finite, dtype=float)
        return self._found[comparison]

    def runs(self, comparison: Comparison) -> tuple[str, ...]:
        """The runs behind the effects."""
        frame = self.section.frame
        good = frame[(frame.status == "ok") & frame.variant.isin([self._variants.get(b) for b in comparison.sides])]
        return tuple(dict.fromkeys(good.run_id))

    def has(self, baseline: str) -> bool:
        """Whether a run of the baseline has finished a stage."""
        return baseline in self._variants

    @cached_property
    def _variants(self) -> dict[str, str]:
        """The variant that stands for a baseline: where there are several, that with the most finished seeds."""
        frame = self.section.frame
        seeds = frame[frame.status == "ok"].groupby(["baseline", "variant"]).seed.nunique()
        return dict(seeds.sort_values(kind="stable").index.to_list())

    @cached_property
    def _settled(self) -> str | None:
        """The settings of the metric that the figures quote too."""
        return settled(of_section(self.cells, self.section), self.metric) if self.metric else None

    def _paired(self, comparison: Comparison, value: Callable[[str], dict[int, float]]) -> dict[int, float]:
        subject, rival = (value(side) for side in comparison.sides)
        return {seed: self._effect(subject[seed], rival[seed]) for seed in subject.keys() & rival.keys()}

    def _effect(self, subject: float, rival: float) -> float:
        if not self.claim.is_ratio:
            return self.sign * (subject - rival)
        return self.sign * math.log(subject / rival) if subject > 0 and rival > 0 else math.nan

    def _value(self, comparison: Comparison) -> dict[int, float]:
        return self._paired(comparison, self._final)

    def _spread(self, comparison: Comparison) -> dict[int, float]:
        def spread(baseline: str) -> dict[int, float]:
            values = self._final(baseline)
            mean = sum(values.values()) / max(1, len(values))
            return {seed: abs(value - mean) for seed, value in values.items()}

        return self._paired(comparison, spread)

    def _variation(self, comparison: Comparison) -> dict[int, float]:
        def variation(baseline: str) -> dict[int, float]:
            found = {}
            for seed, rows in self._curve(baseline).groupby("seed"):
                late = rows.value[rows.step >= EARLY * rows.step.max()]
                found[int(str(seed))] = float(late.max() / late.min())
            return found

        return self._paired(comparison, variation)

    def _few(self, comparison: Comparison) -> dict[int, float]:
        def quality(baseline: str) -> dict[int, float]:
            rows = self.section.sweep
            rows = rows[(rows.variant == self._variants.get(baseline)) & (rows.metric == self.metric)]
            rows = rows[(rows.solver == comparison.condition) & rows.nfe.isin(self.claim.nfe) & (rows.value > 0)]
            return {int(str(seed)): math.exp(of.map(math.log).mean()) for seed, of in rows.groupby("seed").value}

        return self._paired(comparison, quality)

    def _to_error(self, comparison: Comparison) -> dict[int, float]:
        def errors(baseline: str) -> "dict[int, tuple[Array, Array]]":
            rows = self.section.sweep
            rows = rows[(rows.variant == self._variants.get(baseline)) & (rows.metric == self.metric)]
            rows = rows[(rows.solver == "midpoint") & (rows.value > 0)].sort_values("nfe")
            return {int(str(seed)): (of.nfe.to_numpy(), of.value.to_numpy()) for seed, of in rows.groupby("seed")}

        subject, rival = (errors(side) for side in comparison.sides)
        return {seed: math.log(nfe_ratio(subject[seed], rival[seed])) for seed in subject.keys() & rival.keys()}

    def _to_target(self, comparison: Comparison) -> dict[int, float]:
        def curves(baseline: str) -> dict[int, tuple[list[float], list[float]]]:
            return {
                int(str(seed)): (list(rows.x), list(self.sign * rows.value))
                for seed, rows in self._curve(baseline).groupby("seed")
            }

        subject, rival = (curves(side) for side in comparison.sides)
        found = {}
        for seed in subject.keys() & rival.keys():
            target = max(subject[seed][1][-1], rival[seed][1][-1])
            found[seed] = math.log(crossing(*subject[seed], target) / crossing(*rival[seed], target))
        return found

    def _final(self, baseline: str) -> dict[int, float]:
        """The metric of the trained model by seed."""
        rows = self.rows[(self.rows.variant == self._variants.get(baseline)) & (self.rows.metric == self.metric)]
        rows = rows[(rows.comparable == self._settled) & ~rows.native.astype(bool)]
        return {int(str(seed)): float(value) for seed, value in rows.groupby("seed").value.mean().items()}

    def _curve(self, baseline: str) -> "DataFrame":
        """The metric in the course of training, with its `step` and x, the claim's `over`."""
        rows = self.section.curve
        rows = rows[(rows.variant == self._variants.get(baseline)) & (rows.metric == self.metric)]
        rows = rows.assign(step=[s["step"] for s in rows.parsed], x=[float(s[self.claim.over]) for s in rows.parsed])
        return rows.sort_values("step").drop_duplicates(["seed", "step"])
