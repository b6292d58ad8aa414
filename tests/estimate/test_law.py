"""Seconds of a stage are those of its parts times their number."""

from pathlib import Path
from typing import Any, cast

import pytest
from chosen_parts import Chosen
from tiny import runs

from bench.config.curve import curve_likelihood
from bench.config.settings import Likelihood
from bench.config.suite import Run
from bench.estimate.guess import Guess
from bench.estimate.law import stages, validation
from bench.evaluation.routes import ByODE, Own
from bench.methods.ode import Solver
from bench.samplers.ode import Dopri5

GUESS = Guess(likelihood=30.0, samples=20.0)


@pytest.fixture
def chosen() -> Chosen:
    return Chosen()


def run_of(tmp_path: Path, **settings: Any) -> Run:
    (run,) = runs(tmp_path, baselines=["fm_ot"], settings={k.replace("__", "."): v for k, v in settings.items()})
    return run


def route(*arguments: Any, kind: Any = ByODE) -> Any:
    return kind(cast(Any, None), cast(Any, None), *arguments)


def test_training_is_its_start_its_steps_and_its_validations(tmp_path: Path, chosen: Chosen) -> None:
    assert stages(run_of(tmp_path), chosen, GUESS)["train"] == 10 + 6 * 0.5
    run = run_of(tmp_path, training__curve_points=3, training__curve_n=40)
    of_point = (1 + 7 * 2) + 300  # all at once, and no likelihood without a route
    assert validation(run, chosen, GUESS) == of_point
    assert stages(run, chosen, GUESS)["train"] == 10 + 6 * 0.5 + 3 * of_point


def test_a_validation_is_by_the_solver_of_the_headline(tmp_path: Path) -> None:
    asked = list[Any]()

    class Asking(Chosen):
        def routes(self, config: Likelihood) -> list[Any]:
            asked.append(config)
            return []

    run = run_of(tmp_path, training__curve_n=40, evaluation__likelihood__solvers=[{"method": "dopri5"}])
    validation(run, Asking(), GUESS)
    assert asked == [curve_likelihood(run.evaluation, 40)] and asked[0].solvers[0].method == "dopri5"


@pytest.mark.parametrize(
    "budget, seconds",
    [
        ({"training__seconds": 2.0}, 2.0),  # the first that is spent
        ({"training__seconds": 100.0}, 6 * 0.5),
        ({"training__evaluations": 8}, 8 / 2 * 0.5),
    ],
)
def test_a_budget_of_seconds_or_evaluations(
    tmp_path: Path, chosen: Chosen, budget: dict[str, Any], seconds: float
) -> None:
    assert stages(run_of(tmp_path, **budget), chosen, GUESS)["train"] == 10 + seconds


def test_likelihood_by_every_solver_in_batches(tmp_path: Path, chosen: Chosen) -> None:
    chosen.of = [route(Solver("midpoint", steps=5)), route(Solver("dopri5", 1e-5, 1e-5)), route(kind=Own)]
    run = run_of(tmp_path, evaluation__likelihood__n=500, evaluation__likelihood__batch=20)
    # 50 are held out: 2.5 batches.
    once = (3 + 10 * 4) + (3 + 30 * 4) + 3
    assert stages(run, chosen, GUESS)["likelihood"] == pytest.approx(2.5 * once)
    assert set(chosen.asked) >= {("density", 20)}
    chosen.is_image = True
    run = run_of(tmp_path, evaluation__likelihood__batch=20, evaluation__likelihood__draws=[1, 5])
    assert stages(run, chosen, GUESS)["likelihood"] == pytest.approx(5 * once)  # 20 samples of 5 draws


def test_the_picture_of_a_density(tmp_path: Path, chosen: Chosen) -> None:
    chosen.of, chosen.is_pictured = [route(Solver("dopri5", 1e-5, 1e-5))], True
    loose = 30 * 10 ** (-1 / 5)
    picture = 5 * 3 + 3 * loose * 4  # shares 0.2 to 1 of the way sum to 3
    found = stages(run_of(tmp_path), chosen, GUESS)["likelihood"]
    assert found == pytest.approx(3 + 30 * 4 + picture) and ("density", 6400) in chosen.asked


def test_samples_and_their_paths(tmp_path: Path, chosen: Chosen) -> None:
    drawn, paths = 4 * (1 + 7 * 2) + 100, 1 + (7 + 5) * 2 + 1000
    run = run_of(tmp_path, evaluation__samples__batch=10)
    assert stages(run, chosen, GUESS)["samples"] == drawn + paths
    run = run_of(tmp_path, evaluation__samples__batch=10, evaluation__samples__repeats=3)
    assert stages(run, chosen, GUESS)["samples"] == 3 * drawn + paths
    chosen.is_flow = False
    assert stages(run, chosen, GUESS)["samples"] == 3 * drawn
    chosen.headline = Dopri5(rtol=1e-5, atol=1e-5)
    assert stages(run, chosen, GUESS)["samples"] == 3 * (4 * (1 + 20 * 2) + 100)


def test_the_sweep_and_its_errors(tmp_path: Path, chosen: Chosen) -> None:
    sweep = {"n": 30, "solvers": ["euler"], "nfe": [4, 8], "tolerances": [1e-5]}
    run = run_of(tmp_path, evaluation__sweep=sweep)
    drawn = sum(1 + k * 2 for k in (4, 8, 20))
    assert stages(run, chosen, GUESS)["sweep"] == pytest.approx(drawn + 3 * 200)
    run = run_of(tmp_path, evaluation__sweep={**sweep, "error_n": 10})
    assert stages(run, chosen, GUESS)["sweep"] == pytest.approx(2 * drawn + 3 * 200 + 1 + 1000 * 2)


def test_weights_from_elsewhere_are_not_trained(tmp_path: Path, chosen: Chosen) -> None:
    run = run_of(tmp_path)
    run = run.model_copy(update={"training": run.training.model_copy(update={"weights": "w.pt", "steps": None})})
    assert stages(run, chosen, GUESS)["train"] == 10
