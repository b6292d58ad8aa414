"""The rows of a section that a claim's measure takes, and those of values that could not be had.

A seed with a value that could not be had has no effect (bench/report/effects.py).
"""

from pandas import DataFrame

from bench.papers.claims import At, Claim
from bench.report.at import drawn_at
from bench.report.comparable import of_one_kind
from bench.report.sections import Section

STAGE = {"few": "sweep", "to_error": "sweep", "variation": "train", "to_target": "train"}  # of a measure's values
OVER = {"train_seconds": "seconds", "nfe_training": "evaluations"}  # columns of curves by what a claim counts


def of_measure(claim: Claim, section: Section, metric: str | None, at: At | None) -> tuple[DataFrame, DataFrame]:
    """The values of all variants, at one side's place for `at`, and those that could not be had."""
    if at:
        rows = drawn_at(section, metric or "", at)
        return rows[rows.value.notna()], rows[rows.value.isna()]
    if claim.measure in ("value", "spread"):
        compared = section.compared(metric or "")
        values = compared[compared.value.notna()].groupby(["variant", "seed"]).value.mean().reset_index()
        return values, compared[compared.value.isna()]
    curve = STAGE[claim.measure] == "train"
    # A training under way may still reach what its curve has not reached.
    rows = section.curve[section.curve.status == "ok"] if curve else section.sweep
    rows = of_one_kind(rows[rows.metric == metric])
    values, lost = rows[rows.value.notna()], rows[rows.value.isna()]
    if curve:
        values = values.assign(x=values[OVER.get(claim.over, claim.over)])
        return values.sort_values("step").drop_duplicates(["variant", "seed", "step"]), lost
    if claim.measure == "few":
        return values[values.nfe.isin(claim.nfe)], lost[lost.nfe.round().isin(claim.nfe)]
    return values[(values.solver == "midpoint") & (values.value > 0)], lost[lost.solver == "midpoint"]
