"""Digests of settings, which tell runs and their evaluations apart: defaults are left out of them."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from bench.config.settings import Evaluation, Solve

FORMER = {"dormand_prince": "dopri5", "dopri5": "dormand_prince"}


def by_former_default(evaluation: Evaluation) -> Evaluation:
    """The evaluation with the two solvers swapped: dopri5 was the default of older records, whose digests lack it."""
    likelihood, samples, sweep = evaluation.likelihood, evaluation.samples, evaluation.sweep
    if likelihood:
        likelihood = likelihood.model_copy(update={"solvers": tuple(map(_swapped, likelihood.solvers))})
    if samples:
        samples = samples.model_copy(update={"solver": _swapped(samples.solver)})
    if sweep:  # the default samplers were other ones
        sweep = sweep.model_copy(update={"samplers": sweep.components})
    return Evaluation.model_construct(likelihood=likelihood, samples=samples, sweep=sweep)


def _swapped(solve: Solve) -> Solve:
    return solve.model_copy(update={"method": FORMER.get(solve.method, solve.method)})


def by_content(samples: dict[str, Any], sha256s: Mapping[str, str]) -> dict[str, Any]:
    """These settings of samples with the SHA-256 of each extractor's file in the place of where it lies."""
    for extractor in samples.get("extractors") or ():
        if extractor["name"] in sha256s:
            extractor["options"]["weights"] = sha256s[extractor["name"]]
    return samples


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:6]
