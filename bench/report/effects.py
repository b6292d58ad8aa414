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

from bench.papers.claims import Claim
from bench.report import vocabulary
from bench.report.cells import of_section
from bench.report.crossings import crossing, nfe_ratio
from bench.report.incidents import head, reasons
from bench.report.scores import distance_metric, likelihood_metric, settled
from bench.report.sections import Section, each, of_one_kind

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
        """e_s by seed, NaN for a seed that was planned and has none; empty where no seed has one."""
        import pandas

        if comparison not in self._found:
            measure: Callable[[Comparison], dict[int, float]] = getattr(self, f"_{self.claim.measure}")
            found = measure(comparison) if self.metric else {}
            found |= dict.fromkeys(self._lost_seeds(comparison), math.nan)
            planned = sorted(self._planned(comparison)) if found else ()
            self._found[comparison] = pandas.Series({seed: found.get(seed, math.nan) for seed in planned}, dtype=float)
        return self._found[comparison]

    def _lost_seeds(self, comparison: Comparison) -> set[int]:
        """Seeds of which a side lacks a value that could not be had: what the others say would be of survivors."""
        rows = self._lost_of[self.claim.measure](comparison)
        return {int(seed) for side in comparison.sides for seed in self._of(rows, side).seed}

    def _planned(self, comparison: Comparison) -> set[int]:
        """Seeds that both sides were to run, or have run."""
        frame = self.section.frame
        subject, rival = (set(frame.seed[frame.variant == self._variants.get(side)]) for side in comparison.sides)
        return subject & rival

    def lost(self, comparison: Comparison) -> list[str]:
        """What of either side could not be had, and why: "A: diverged at 4 evaluations"."""
        said = []
        for side in comparison.sides:
            rows = self._of(self._lost_of[self.claim.measure](comparison), side)
            said += [f"{self.label(side)}: {head(reason)}" for reason in reasons(rows)]
        return list(dict.fromkeys(said))

    def runs(self, comparison: Comparison) -> tuple[str, ...]:
        """The runs behind the effects."""
        frame, seeds = self.section.frame, self.of(comparison).dropna().index
        sides = [self._variants.get(side) for side in comparison.sides]
        good = frame[(frame.status == "ok") & frame.variant.isin(sides) & frame.seed.isin(seeds)]
        return tuple(dict.fromkeys(good.run_id))

    def label(self, baseline: str) -> str | None:
        """What the baseline is called here; None without a finished run, or with several variants (see `several`)."""
        return self.section.labels.get(self._variants.get(baseline, ""))

    def several(self, baseline: str) -> list[str]:
        """What the variants of a baseline are called that is planned with several settings; nothing for one alone."""
        labels = [self.section.labels[variant] for variant in self._planned_variants.get(baseline, ())]
        return labels if len(labels) > 1 else []

    @cached_property
    def _planned_variants(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for row in each(self.section.frame.drop_duplicates("variant")):
            found.setdefault(row.baseline, []).append(row.variant)
        return found

    @cached_property
    def _variants(self) -> dict[str, str]:
        """The variant of each baseline that has one alone, and a finished measurement."""
        frame = self.section.frame
        measured = set(frame.variant[frame.status == "ok"])
        alone = {baseline: found[0] for baseline, found in self._planned_variants.items() if len(found) == 1}
        return {baseline: variant for baseline, variant in alone.items() if variant in measured}

    @cached_property
    def _lost_of(self) -> "dict[str, Callable[[Comparison], DataFrame]]":
        """By measure: the values that it needs and could not be had. A seed that lacks one has no effect."""
        rows, curve, sweep = self.rows, self.section.lost_curve, self.section.lost_sweep
        final = rows[rows.value.isna() & (rows.metric == self.metric)]
        final = final[final.comparable == self._settled] if self._settled else final
        curve, sweep = (lost[lost.metric == self.metric] for lost in (curve, sweep))
        few = sweep[sweep.nfe.round().isin(self.claim.nfe)]
        return {
            **dict.fromkeys(("value", "spread"), lambda _: final[~final.native.astype(bool)]),
            **dict.fromkeys(("variation", "to_target"), lambda _: curve),
            "few": lambda comparison: few[few.solver == comparison.condition],
            "to_error": lambda _: sweep[sweep.solver == "midpoint"],
        }

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
        """The mean over the evaluations that both sides have."""
        rows = self._sweep(comparison.condition)
        rows = rows[rows.nfe.isin(self.claim.nfe)].assign(nfe=rows.nfe.round())
        subject, rival = (self._of(rows, side).set_index(["seed", "nfe"]).value for side in comparison.sides)
        found: dict[int, list[float]] = {}
        for seed, nfe in subject.index.intersection(rival.index):
            found.setdefault(int(seed), []).append(self._effect(subject[seed, nfe], rival[seed, nfe]))
        return {seed: sum(effects) / len(effects) for seed, effects in found.items()}

    def _to_error(self, comparison: Comparison) -> dict[int, float]:
        sweep = self._sweep("midpoint")

        def errors(baseline: str) -> "dict[int, tuple[Array, Array]]":
            rows = self._of(sweep[sweep.value > 0], baseline).sort_values("nfe")
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
        """The metric in the course of training, with its `step` and x, the claim's `over`; evaluations by sample."""
        rows = self._of(self._course, baseline)
        batch = rows.global_batch if self.claim.over == "nfe_training" else 1
        return rows.assign(x=rows[self.claim.over] * batch).sort_values("step").drop_duplicates(["seed", "step"])

    def _sweep(self, solver: str) -> "DataFrame":
        """The metric with a few steps of one solver."""
        return self._swept[self._swept.solver == solver]

    @cached_property
    def _course(self) -> "DataFrame":
        return of_one_kind(self.section.curve[self.section.curve.metric == self.metric])

    @cached_property
    def _swept(self) -> "DataFrame":
        return of_one_kind(self.section.sweep[self.section.sweep.metric == self.metric])

    def _of(self, rows: "DataFrame", baseline: str) -> "DataFrame":
        return rows[rows.variant == self._variants.get(baseline)]
