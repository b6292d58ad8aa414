"""What a training was given: the samples it saw and the evaluations of the network, both in rows."""

from typing import Any

from pandas import DataFrame

from bench.report.extract import Extract

COUNTED = (
    "Evaluations are rows that go forward through the network in training, with a gradient or without; a backward pass "
    "is not counted, what an adjoint solve evaluates on its way back is."
)


def spent(section: Extract) -> DataFrame:
    """A row per run whose training is known, with `variant`, `run_id`, `samples` and `evaluations`."""
    frame = section.frame
    rows = frame[(frame.metric == "nfe_training") & frame.step.isna() & frame.value.notna()]
    rows = rows.assign(samples=rows.steps * rows.global_batch, evaluations=rows.value * rows.global_batch)
    return rows[["variant", "run_id", "samples", "evaluations"]].drop_duplicates("run_id")


def trained_with(section: Extract) -> dict[str, dict[Any, float]]:
    """By variant `planned` seeds, `parameters`, most `steps`, and means of what its runs have `spent`, NaN for none."""
    means = spent(section).groupby("variant")[["samples", "evaluations"]].mean()
    by_variant = section.frame.groupby("variant")
    every = by_variant[["parameters", "steps"]].max().join(means).assign(planned=by_variant.seed.nunique())
    return {str(variant): row for variant, row in every.to_dict("index").items()}
