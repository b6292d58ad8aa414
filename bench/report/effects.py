"""Paired effects of a claim in one section: one number per seed, lower being better for the subject.

    difference   e_s = x_s(subject) - x_s(rival)                    ratio   e_s = log x_s(subject) - log x_s(rival)

Runs of one seed on one dataset share initial weights, minibatches and the noise of their samples if the methods allow
it, so effects are paired by seed. A metric of which more is better enters with its sign turned. A spread is one number
of all seeds: the logarithm of the ratio of two standard deviations.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import pandas
from pandas import DataFrame, Series

from bench.papers.claims import Claim
from bench.report.crossings import crossing, nfe_ratio
from bench.report.improvement import probability_below
from bench.report.incidents import head, not_applicable, reasons
from bench.report.measures import STAGE, of_measure
from bench.report.sections import Section

# Of the values, what an effect is taken from: the rows of a variant are looked up for every comparison.
KEPT = ["variant", "baseline", "seed", "value", "nfe", "solver", "x", "step", "reason"]
EARLY = 1 / 8  # share of the training that `variation` leaves out


class Comparison(NamedTuple):
    """A subject with a rival, and by which solver, "" if the claim names none."""

    subject: str
    rival: str
    solver: str = ""


def comparisons(claim: Claim) -> list[Comparison]:
    """Everything that must hold for the claim to hold."""
    solvers = claim.solvers if claim.measure == "few" else ("",)
    pairs = [(s, r) for s in claim.subject for r in claim.against if s != r or claim.subject_at != claim.against_at]
    return [Comparison(s, r, by) for s, r in pairs for by in solvers]


class Effects:
    def __init__(self, claim: Claim, section: Section) -> None:
        self.claim, self.section = claim, section
        swept = claim.measure == "at" and claim.subject_at and claim.subject_at.nfe
        self._stage = "sweep" if swept else STAGE.get(claim.measure, "")
        self.metric = section.metric(claim.metric, self._stage or "samples")
        turned = claim.measure not in ("spread", "variation")  # of which less is better whatever the metric
        self.sign = -1 if turned and self.metric and section.about(self.metric).direction == "higher" else 1
        variants = section.frame.drop_duplicates("variant")
        self._runs = section.frame[["variant", "seed", "status", "run_id"]]
        self._of: dict[Comparison, Series[float]] = {}
        self._improvement: dict[Comparison, float] = {}
        self._planned = {str(baseline): list(of.variant) for baseline, of in variants.groupby("baseline")}
        self._finished = set(section.frame.variant[section.frame.status == "ok"])
        asked = dict.fromkeys([claim.subject_at, claim.against_at])
        of_sides = {
            at: tuple(rows[[*rows.columns.intersection(KEPT)]] for rows in of_measure(claim, section, self.metric, at))
            for at in asked
        }
        self._values, self._lost = zip(of_sides[claim.subject_at], of_sides[claim.against_at], strict=True)
        self._of_variants: dict[tuple[int, str | None], DataFrame] = {}

    @property
    def unit(self) -> str:
        return "bits/dim" if self.metric == "nll_bpd" else self.section.about(self.metric or "").unit

    @property
    def is_planned(self) -> bool:
        """Whether runs of a subject have the measure's stage, and of either side none has ended or one has a place.

        Nor is it where the runs that have ended measured other metrics: those of images, or without a density.
        """
        claim, frame = self.claim, self.section.frame
        if self._stage and self._stage not in set(frame.stage[frame.baseline.isin(claim.subject)]):
            return False
        ended = frame[(frame.status == "ok") & (frame.stage == (self._stage or "samples"))]
        if len(ended) and not ((frame.metric == self.metric) & ~not_applicable(frame)).any():
            return False
        for side, names in enumerate((claim.subject, claim.against) if claim.measure == "at" else ()):
            measured = frame[(frame.stage == (self._stage or "samples")) & frame.baseline.isin(names)]
            placed = pandas.concat([self._values[side], self._lost[side]]).baseline.isin(names)
            if (measured.status == "ok").any() and not placed.any():
                return False
        return True

    @property
    def seeds(self) -> int:
        """How many are planned on both sides of every comparison."""
        variants = [self._planned.get(name, []) for name in (*self.claim.subject, *self.claim.against)]
        return len(set.intersection(*(set(self._runs.seed[self._runs.variant.isin(of)]) for of in variants)))

    def spent(self, side: int) -> "Series[float]":
        """Evaluations of the subject's place (0) in the sweep or of the rival's (1), of every method that has one."""
        names = (self.claim.subject, self.claim.against)[side]
        rows = self._values[side]
        return rows[rows.baseline.isin(names)].groupby("variant").nfe.mean()

    def _variant(self, baseline: str) -> str | None:
        """The one variant of the baseline; None without a finished run, or with several variants (see `several`)."""
        variants = self._planned.get(baseline, [])
        return variants[0] if len(variants) == 1 and variants[0] in self._finished else None

    def label(self, baseline: str) -> str | None:
        return self.section.labels.get(self._variant(baseline) or "")

    def several(self, baseline: str) -> list[str]:
        """What the variants of a baseline are called that is planned with several settings; nothing for one."""
        labels = [self.section.labels[variant] for variant in self._planned.get(baseline, ())]
        return labels if len(labels) > 1 else []

    def of(self, comparison: Comparison) -> "Series[float]":
        """e_s by seed, NaN for a seed that was planned and has none; empty if no seed has one."""
        if comparison not in self._of:
            self._of[comparison] = self._paired(comparison)
        return self._of[comparison]

    def _paired(self, comparison: Comparison) -> "Series[float]":
        subject, rival = (dict(iter(rows.groupby("seed"))) for rows in self._sides(self._values, comparison))
        of_both = {int(str(seed)): self._effect(rows, rival[seed]) for seed, rows in subject.items() if seed in rival}
        effects = {seed: effect for seed, effect in of_both.items() if effect is not None}
        # What the other seeds say would be of survivors.
        lost = pandas.concat(self._sides(self._lost, comparison))
        effects |= dict.fromkeys(map(int, lost.seed), math.nan)
        both = set.intersection(*(set(rows.seed) for rows in self._sides((self._runs,) * 2, comparison[:2])))
        planned = sorted(both) if effects else []
        return Series({seed: effects.get(seed, math.nan) for seed in planned}, dtype=float)

    def spread(self, comparison: Comparison) -> float:
        """log sd(subject) - log sd(rival) over seeds, of seeds that both have; NaN if one of them has none."""
        subject, rival = (rows.set_index("seed").value for rows in self._sides(self._values, comparison))
        both = subject.index.intersection(rival.index)
        return self._apart(*(float(side[both].std()) for side in (subject, rival)))

    def margin(self, comparison: Comparison) -> float:
        """The difference, or log ratio, that is as good as none; NaN if the claim has none."""
        _, rival = self._sides(self._values, comparison)
        return self.claim.tied_within(self.unit, float(rival.value.mean()))

    def improvement(self, comparison: Comparison) -> float:
        """P(subject below rival by the claim's bound) of a run of each (bench/report/improvement.py).

        NaN if only both sides together have a value: a crossing, or a spread.
        """
        if comparison not in self._improvement:
            subject, rival = (self._levels(rows) for rows in self._sides(self._values, comparison))
            shared = subject.keys() & rival.keys()
            x, y = (sum(side[key] for key in shared) / (len(shared) or math.nan) for side in (subject, rival))
            self._improvement[comparison] = probability_below(x, y + self.claim.threshold)
        return self._improvement[comparison]

    def _levels(self, rows: DataFrame) -> dict[float, Any]:
        """Values of all seeds on the scale of effects; of `few` for each number of evaluations that all seeds have."""
        of: dict[float, Any] = {}
        if self.claim.measure in ("value", "at"):
            of[0] = rows.value.to_numpy()
        elif self.claim.measure == "few":
            of = {float(str(nfe)): at.value.to_numpy() for nfe, at in rows.sort_values("seed").groupby("nfe")}
            of = {nfe: values for nfe, values in of.items() if len(values) == rows.seed.nunique()}
        elif self.claim.measure == "variation":
            late = rows[rows.step >= EARLY * rows.groupby("seed").step.transform("max")].groupby("seed").value
            of[0] = (late.max() / late.min()).to_numpy()
        if self.claim.is_ratio:
            of = {key: np.log(np.where(values > 0, values, math.nan)) for key, values in of.items()}
        return {key: self.sign * values for key, values in of.items()}

    def lost(self, comparison: Comparison) -> list[str]:
        """What of either side could not be had, and why: "A: diverged at 4 evaluations"."""
        sides = zip(comparison[:2], self._sides(self._lost, comparison), strict=True)
        return list(dict.fromkeys(f"{self.label(side)}: {head(why)}" for side, rows in sides for why in reasons(rows)))

    def samplers(self, comparison: Comparison) -> tuple[str, ...]:
        """How either side was drawn, "" if the claim's measure or the claim itself says."""
        asked = (self.claim.subject_at, self.claim.against_at)
        sides = zip(asked, self._sides(self._values, comparison), strict=True)
        return tuple(str(rows.solver.iloc[0]) if at and not at.sampler and len(rows) else "" for at, rows in sides)

    def runs(self, comparison: Comparison, effects: "Series[float]") -> tuple[str, ...]:
        good = pandas.concat(self._sides((self._runs,) * 2, comparison[:2]))
        good = good[(good.status == "ok") & good.seed.isin(effects.dropna().index)]
        return tuple(dict.fromkeys(good.sort_index().run_id))

    def _sides(self, of_sides: tuple[DataFrame, ...], comparison: tuple[str, ...]) -> list[DataFrame]:
        """The rows of subject and rival, by the solver if the comparison names one."""
        *sides, solver = (*comparison, "")[:3]
        found = [self._of_variant(rows, self._variant(side)) for side, rows in zip(sides, of_sides, strict=True)]
        return [rows[rows.solver == solver] for rows in found] if solver else found

    def _of_variant(self, rows: DataFrame, variant: str | None) -> DataFrame:
        """The rows of a variant, of one of the frames that this object keeps, which its identity thus names."""
        if (key := (id(rows), variant)) not in self._of_variants:
            self._of_variants[key] = rows[rows.variant == variant]
        return self._of_variants[key]

    def _effect(self, subject: DataFrame, rival: DataFrame) -> float | None:
        """The effect of one seed; None without anything to compare."""
        sides = (subject, rival)
        if self.claim.measure == "to_error":
            lines = [(side.nfe.to_numpy(), side.value.to_numpy()) for side in (s.sort_values("nfe") for s in sides)]
            return math.log(nfe_ratio(*lines))
        if self.claim.measure == "to_target":
            curves = [(list(side.x), list(self.sign * side.value)) for side in sides]
            target = max(values[-1] for _, values in curves)
            return math.log(crossing(*curves[0], target) / crossing(*curves[1], target))
        if self.claim.measure == "variation":
            late = [side.value[side.step >= EARLY * side.step.max()] for side in sides]
            return self._apart(*(values.max() / values.min() for values in late))
        if self.claim.measure == "spread":  # which seeds there are, and no more
            return float(subject.value.iloc[0] - rival.value.iloc[0])
        if self.claim.measure == "few":  # the mean over the evaluations that both sides have
            ours, theirs = (side.set_index("nfe").value for side in sides)
            effects = [self._apart(ours[nfe], theirs[nfe]) for nfe in ours.index.intersection(theirs.index)]
            return sum(effects) / len(effects) if effects else None
        return self._apart(*(float(side.value.iloc[0]) for side in sides))

    def _apart(self, subject: float, rival: float) -> float:
        if not self.claim.is_ratio:
            return self.sign * (subject - rival)
        return self.sign * math.log(subject / rival) if subject > 0 and rival > 0 else math.nan
