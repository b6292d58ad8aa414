"""What a suite's `tune` becomes: trials, tuned runs that need them, untuned ones beside them; what cannot be."""

from pathlib import Path
from typing import Any

import pytest
from tiny import SUITE, runs

from bench.config.beforehand import validate
from bench.config.cell import UNSET
from bench.config.components import check_data
from bench.config.suite import Run, load_suite
from bench.datasets.base import Dataset
from bench.errors import UsageError

GRID = "tune = { training.lr = [2e-3, 4e-3], seeds = [1000, 1001], untuned = [1] }\n"
TWO = SUITE.replace("seeds = [0]", "seeds = [0, 1]")
TUNED = TWO + GRID


def of(planned: list[Run], tuning: str) -> list[Run]:
    return [run for run in planned if run.tuning == tuning]


def test_every_value_is_tried_with_every_tuning_seed_and_both_seeds_share_the_trials(tmp_path: Path) -> None:
    planned = runs(tmp_path, TUNED, baselines=["fm_ot"])
    trials = of(planned, "trial")
    assert [(run.training.lr, run.trial["training.lr"], run.seed) for run in trials] == [
        *((2e-3, 2e-3, seed) for seed in (1000, 1001)),
        *((4e-3, 4e-3, seed) for seed in (1000, 1001)),
    ]
    assert all(run.stages == ("train",) and run.training.curve_points == 1 and run.needs == () for run in trials)
    assert len({run.variant for run in trials}) == 2
    ids = tuple(run.run_id for run in trials)
    assert [(run.seed, run.needs) for run in of(planned, "tuned")] == [(0, ids), (1, ids)]
    assert len({run.variant for run in of(planned, "tuned")}) == 1 and planned.index(trials[-1]) == 3
    assert of(planned, "tuned")[0].stages == ("train", "likelihood", "samples")


def test_an_untuned_run_is_the_one_of_a_suite_that_tunes_nothing(tmp_path: Path) -> None:
    plain = runs(tmp_path, TWO)
    assert of(runs(tmp_path, TUNED), "") == [run for run in plain if run.seed == 1]
    assert runs(tmp_path, TUNED, settings={"tune": UNSET}) == plain
    assert [run.run_id for run in plain] == [
        *(f"checkerboard-fm_ot-f77a1f-s{seed}" for seed in (0, 1)),  # as before there was `tune`
        *(f"checkerboard-ddpm-70436c-s{seed}" for seed in (0, 1)),
    ]


def test_a_tuned_run_keeps_its_identity_whatever_is_chosen(tmp_path: Path) -> None:
    text = TUNED.replace(
        "training.lr = [2e-3, 4e-3]", "training.lr = [2e-3], network.width = [8, 9], network.depth = [2]"
    )
    (run, *_) = of(runs(tmp_path, text, baselines=["fm_ot"]), "tuned")
    for values in run.tune.combinations() if run.tune else ():
        chosen = run.with_values(values)
        assert chosen.run_id == run.run_id and chosen.network.options == {"width": values["network.width"], "depth": 2}
        assert Run.model_validate(chosen.model_dump(mode="json")) == chosen
    assert run.with_values({"training.batch": 3}).run_id != run.run_id


@pytest.mark.parametrize(
    ("setting", "again"),
    [
        ({"tune.training.lr": [2e-3, 5e-3]}, 1),
        ({"tune.seeds": [7, 8]}, 0),
        ({"tune.n": 30}, 2),
        ({"tune.metric": "w2"}, 0),
        ({"training.steps": 7}, 2),
        ({"training.lr": 0.5}, 0),
        ({"tune.untuned": []}, 0),
    ],
    ids=str,
)
def test_what_is_tried_and_how_is_in_the_identity(tmp_path: Path, setting: dict[str, Any], again: int) -> None:
    """In how many variants values are tried anew; a tuned run is another but for its own rate and what is untuned."""
    before, after = (runs(tmp_path, TUNED, baselines=["fm_ot"], settings=s) for s in ({}, setting))
    variants = [{run.variant for run in of(planned, "trial")} for planned in (before, after)]
    assert len(variants[1] - variants[0]) == again
    same = of(before, "tuned")[0].run_id == of(after, "tuned")[0].run_id
    assert same == (setting.keys() <= {"training.lr", "tune.untuned"})


def test_a_baselines_own_rate_gives_way_to_the_grid(tmp_path: Path) -> None:
    planned = runs(tmp_path, TUNED + "overrides.fm_ot = { training.lr = 0.5 }\n")
    assert {run.training.lr for run in of(planned, "trial")} == {2e-3, 4e-3}
    assert [run.training.lr for run in of(planned, "")] == [0.5, 1e-3]


def test_a_narrowed_plan_keeps_the_trials_that_its_runs_need(tmp_path: Path) -> None:
    planned = runs(tmp_path, TUNED, baselines=["ddpm"], seeds=[0])
    assert [(run.tuning, run.baseline.name, run.seed) for run in planned] == [
        *(("trial", "ddpm", seed) for seed in (1000, 1001, 1000, 1001)),
        ("tuned", "ddpm", 0),
    ]


def test_a_protocol_and_the_command_line_change_what_is_tuned(tmp_path: Path) -> None:
    text = TUNED + "protocols.small = { tune.training.lr = [0.5], training.steps = 5 }\nprotocols.paper.tune = false\n"
    assert {run.training.lr for run in of(runs(tmp_path, text, protocol="small"), "trial")} == {0.5}
    assert {run.seed for run in of(runs(tmp_path, text, protocol="small"), "trial")} == {1000, 1001}
    assert {run.tuning for run in runs(tmp_path, text, protocol="paper")} == {""}
    settings = {"tune.training.lr": [0.25], "tune.seeds": [9]}
    for suite in (TUNED, TWO):
        trials = of(runs(tmp_path, suite, settings=settings), "trial")
        assert [(run.training.lr, run.seed) for run in trials] == [(0.25, 9)] * 2
    assert {run.seed for run in of(runs(tmp_path, TUNED, settings={"tune.seeds": UNSET}), "trial")} == {1000}


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ("training.lr = []", r"tune.training.lr = \[\]: Tuple should have at least 1 item"),
        ("training.warmups = [1]", "unknown key 'warmups'; known: betas, clip, .*did you mean 'warmup'"),
        ("training.steps = [1]", "unknown key 'steps'; known: betas"),
        ("lr = [1]", r"unknown key 'lr'; known: .* \(at experiments.0.tune.lr\)"),
        ("training.lr = [1, 1]", "training.lr: 1 is named twice"),
        ("seeds = [5]", "tune: nothing to try; for example training.lr"),
        ("training.lr = [-1]", "suite tiny, fm_ot: tune: training.lr = -1: Input should be greater than 0"),
        ("training.lr = [1], seeds = [0]", "fm_ot: tune.seeds = 0: a reported seed; name one that is not"),
        ("training.lr = [1], untuned = [2]", r"fm_ot: tune.untuned = 2: expected reported seeds \(0, 1\)"),
        ("training.lr = [1], seeds = []", "tune.seeds = .*at least 1 item"),
    ],
)
def test_what_cannot_be_tuned_is_said_in_a_line(tmp_path: Path, tune: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        runs(tmp_path, f"{TWO}tune = {{ {tune} }}\n")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ddpm.teacher": "fm_ot"}, "ddpm: tune: teacher = 'fm_ot': only the id of a run or a file may teach"),
        ({"tune.seds": [1]}, "--set tune.seds: unknown key 'seds'; .*did you mean 'seeds'"),
        ({"tune": 3}, "--set tune=3: a key is .*tune.KEY"),
        ({"tune.options.sigma": [1]}, "option 'sigma'"),
        ({"tune.metric": "nfe_trainin"}, "tune.metric: unknown number of the curve 'nfe_trainin'; known: .*nll_nats"),
        ({"tune.metric": "train_seconds"}, "tune.metric: unknown number of the curve 'train_seconds'"),
    ],
)
def test_what_the_command_line_cannot_tune(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        validate(runs(tmp_path, TUNED, settings=settings))


@pytest.mark.parametrize("metric", ["nll", "nll_bpd", "nll_defensive", "w2"])
def test_any_number_of_the_curve_may_be_chosen_by(tmp_path: Path, metric: str) -> None:
    validate(runs(tmp_path, TUNED, settings={"tune.metric": metric}))


def test_an_override_has_no_grid_of_its_own_and_a_tuning_seed_is_not_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"fm_ot: overrides.fm_ot: tune: all baselines of an experiment try the same"):
        runs(tmp_path, TUNED + "overrides.fm_ot = { tune.training.lr = [1] }\n")
    with pytest.raises(UsageError, match=r"fm_ot: tune.seeds = 1000: a reported seed"):
        runs(tmp_path, TUNED, seeds=[1000])


def test_trained_weights_are_not_tuned(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"weights")
    with pytest.raises(UsageError, match=r"fm_ot: tune: with training.weights = '.*' nothing is trained"):
        runs(tmp_path, TUNED, settings={"training.weights": str(tmp_path / "w.safetensors")})


def test_nothing_is_chosen_on_test_data(tmp_path: Path) -> None:
    import torch

    points = torch.zeros(50, 2)
    dataset = Dataset("bare", "1", points, points)
    trial, *_ = runs(tmp_path, TUNED, baselines=["fm_ot"])
    with pytest.raises(UsageError, match=r"^tune: bare has no validation split to choose on; give it one"):
        check_data(trial, dataset)
    check_data(runs(tmp_path, TWO)[0], dataset)


def test_the_smoke_suite_tunes() -> None:
    from bench.config.plan import plan

    planned = plan("smoke", load_suite("smoke")[1])
    assert {"trial", "tuned", ""} == {run.tuning for run in planned}
