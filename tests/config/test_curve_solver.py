"""A curve is solved as the headline is, and its digest knows by what."""

from pathlib import Path
from typing import Any

import pytest
from tiny import runs

from bench.config.curve import curve_likelihood
from bench.config.settings import Evaluation, Likelihood, Samples, Solve

STEPS, DOPRI5, DOPRI8 = Solve(method="rk4", steps=4), Solve(method="dopri5", rtol=1e-2), Solve(method="dopri8")


@pytest.mark.parametrize(
    "likelihood, samples, method",
    [
        (None, None, "dormand_prince"),
        (None, DOPRI5, "dopri5"),
        ((Solve(),), DOPRI5, "dormand_prince"),
        ((DOPRI5, STEPS), None, "dopri5"),
        ((STEPS, DOPRI8), DOPRI5, "dopri8"),
        ((STEPS,), DOPRI5, "dopri5"),
        ((STEPS,), STEPS, "dormand_prince"),
    ],
)
def test_the_first_adaptive_method_at_the_usual_tolerances(
    likelihood: tuple[Solve, ...] | None, samples: Solve | None, method: str
) -> None:
    evaluation = Evaluation(
        likelihood=Likelihood(batch=30, divergence="exact", solvers=likelihood) if likelihood else None,
        samples=Samples(solver=samples) if samples else None,
    )
    found = curve_likelihood(evaluation, 40)
    assert found.solvers == (Solve(method=method),) and (found.n, found.draws) == (40, (1,))
    assert (found.batch, found.divergence) == ((30, "exact") if likelihood else (40, "auto"))


def test_curves_by_other_methods_have_other_digests(tmp_path: Path) -> None:
    """That of dopri5 goes without, since older records' curves are by it whatever their solvers."""

    def digest(*methods: str, **more: Any) -> str:
        solvers = [{"method": method, **more} for method in methods]
        settings = {"evaluation.likelihood.solvers": solvers, "evaluation.samples.solver": {"method": "dopri5"}}
        return runs(tmp_path, seeds=(0,), baselines=("fm_ot",), settings=settings)[0].curve_settings

    assert len({digest(method) for method in ("dormand_prince", "dopri5", "dopri8")}) == 3
    assert digest("dopri5") == digest("dopri5", "dopri8") == digest("dopri5", rtol=1e-3) == digest("rk4", steps=3)
