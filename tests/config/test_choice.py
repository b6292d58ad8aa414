"""What trials choose, from records made by hand."""

import math
from typing import Any

import pytest

from bench.config.choice import choose
from bench.config.tune import Tune
from bench.errors import UsageError

RATES = (1e-3, 1e-2, 1e-1)


def row(metric: str, value: float, **more: Any) -> dict[str, Any]:
    group = "likelihood" if "nll" in metric else "quality"
    place = {"step": more.pop("step", 8.0)}
    facts = {"settings": {}, "place": place, "direction": "lower", "group": group}
    return {"metric": metric, "value": value, "reason": None, **facts, **more}


def spent(seconds: float, **settings: Any) -> list[dict[str, Any]]:
    return [
        row("train_seconds", seconds, place={}, direction="lower", group="cost", settings=settings),
        row("nfe_training", 10.0, place={}, direction="lower", group="cost"),
    ]


def record(*rows: dict[str, Any], seconds: float = 1.0, **settings: Any) -> dict[str, Any]:
    return {"status": "ok", "measurements": [*spent(seconds, **settings), *rows]}


FAILED = {"status": "failed", "error": "diverged: the loss is nan at step 7", "measurements": []}


def chosen(tune: Tune, *records: dict[str, Any]) -> Any:
    """The choice by one record per value and tuning seed."""
    values = [(value, seed) for value in tune.combinations() for seed in tune.seeds]
    trials = {f"t{i}": value for i, (value, _) in enumerate(values)}
    return choose(tune, trials, {f"t{i}": record for i, record in enumerate(records)})


def of_rates(*records: dict[str, Any], seeds: tuple[int, ...] = (1000,), **more: Any) -> Any:
    return chosen(Tune(training={"lr": RATES}, seeds=seeds, **more), *records)


def test_the_least_mean_over_tuning_seeds_is_chosen() -> None:
    values = [2.0, 3.0, 1.0, 3.5, 5.0, 5.0]
    choice = of_rates(*(record(row("nll_nats", value), seconds=value) for value in values), seeds=(1, 2))
    assert choice.to == {"training.lr": 1e-2} and choice.metric == "nll_nats" and choice.edge == ()
    assert [(tried.values["training.lr"], tried.trials, tried.score) for tried in choice.tried] == [
        (1e-3, ("t0", "t1"), 2.5),
        (1e-2, ("t2", "t3"), 2.25),
        (1e-1, ("t4", "t5"), 5.0),
    ]
    assert (choice.seconds, choice.evaluations, choice.stacked) == (19.5, 60.0, False)
    assert str(choice) == "tuned to training.lr = 0.01: nll_nats 2.25 on validation, of 3 tried"


def test_of_a_share_the_largest_is_chosen() -> None:
    choice = of_rates(*(record(row("coverage", value, direction="higher")) for value in (0.2, 0.9, 0.5)))
    assert choice.to == {"training.lr": 1e-2} and choice.metric == "coverage"


def test_of_equal_ones_the_first_is_chosen_and_an_edge_is_said() -> None:
    choice = of_rates(*(record(row("nll_nats", value)) for value in (2.0, 2.0, 3.0)))
    assert choice.to == {"training.lr": 1e-3} and choice.edge == ("training.lr",)
    assert str(choice).endswith("training.lr = 0.001 is at the edge of what was tried")


def test_words_have_no_edge() -> None:
    tune = Tune(training={"decay": ("cosine", "linear")})
    assert chosen(tune, record(row("w2", 1.0)), record(row("w2", 2.0))).edge == ()


@pytest.mark.parametrize(
    ("lost", "why"),
    [
        (FAILED, "diverged: the loss is nan at step 7"),
        (record(row("nll_nats", math.nan, reason="diverged")), "diverged"),
        (record(row("nll_nats", math.inf)), "not finite"),
        (record(row("nll_nats", 0.0, step=4.0), row("w2", 0.1)), "no nll_nats at the end of its curve, but w2"),
    ],
)
def test_what_failed_or_diverged_loses_with_any_of_its_seeds(lost: dict[str, Any], why: str) -> None:
    good = [record(row("nll_nats", value)) for value in (4.0, 4.0, 3.0)]
    records = [good[0], good[1], good[2], lost, good[0], {**good[0]}]
    choice = of_rates(*records, seeds=(1, 2))
    assert choice.to == {"training.lr": 1e-3}
    assert (choice.tried[1].score, choice.tried[1].reason) == (None, why)
    assert f"training.lr = 0.01 lost ({why})" in str(choice)


def test_the_likelihood_comes_before_quality_and_the_defensive_one_before_all() -> None:
    def by(*names: str) -> str:
        return str(of_rates(*[record(*(row(name, 1.0) for name in names))] * 3).metric)

    assert by("w2", "nll_nats") == "nll_nats" and by("w2", "nll_bpd", "nll_defensive_bpd") == "nll_defensive_bpd"
    assert by("fid", "kid") == "fid" and by("fid", "nll_bound") == "nll_bound"
    # One that no model of the kind can have is not waited for; a floor has no direction.
    none = row("nll_nats", math.nan, reason="not applicable: a GAN has no density")
    assert of_rates(*[record(none, row("nll_floor", 1.0, direction=""), row("w2", 1.0))] * 3).metric == "w2"


def test_a_suite_may_name_the_metric() -> None:
    records = [record(row("nll_bpd", nll), row("fid", fid)) for nll, fid in ((1.0, 9.0), (2.0, 8.0), (3.0, 9.0))]
    assert of_rates(*records, metric="fid").to == {"training.lr": 1e-2}
    assert of_rates(*records, metric="nll").to == of_rates(*records, metric="nll_bpd").to == {"training.lr": 1e-3}


def test_every_combination_of_two_keys_is_tried() -> None:
    tune = Tune(training={"lr": (1e-3, 1e-2)}, network={"width": (8, 16)})
    choice = chosen(tune, *(record(row("w2", value)) for value in (3.0, 2.0, 4.0, 5.0)))
    assert choice.to == {"training.lr": 1e-3, "network.width": 16} and choice.edge == ("training.lr", "network.width")


def test_if_nothing_can_be_chosen_a_line_says_why() -> None:
    message = r"^tune: none of the 3 trials can be chosen: training.lr = 0.001: diverged: the loss is nan at step 7$"
    with pytest.raises(UsageError, match=message):
        of_rates(FAILED, FAILED, FAILED)
    with pytest.raises(UsageError, match=r"training.lr = 0.001: no kid at the end of its curve, but fid$"):
        of_rates(*[record(row("fid", 1.0))] * 3, metric="kid")


def test_seconds_that_others_shared_are_said() -> None:
    assert of_rates(*(record(row("w2", 1.0), stacked=i == 1) for i in range(3))).stacked
