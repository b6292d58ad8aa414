"""What methods have reached at equal seconds, by curves made by hand."""

import math
from typing import Any

import pytest
import synthetic

from bench.report.budget import COUNTED
from bench.report.crossings import value_at
from bench.report.equal_seconds import at_equal_seconds, grid, tidy
from bench.report.extract import each
from bench.report.grid import Entry
from bench.report.sections import Section
from bench.report.statistics import t_interval
from bench.report.tables import table

FAST, SLOW, LATE = "moons-fm_ot-0a1b2c", "moons-ddpm-1b2c3d", "moons-ffjord-2c3d4e"
LABELS = {FAST: ("fm_ot", "FM w/ OT"), SLOW: ("ddpm", "DDPM"), LATE: ("ffjord", "FFJORD")}


def curve(
    variant: str, seed: int, points: dict[float, float], metric: str = "nll_nats", **more: Any
) -> list[dict[str, Any]]:
    """A row per point of a validation curve, by its seconds, and the clock of the whole training."""
    baseline, label = LABELS[variant]
    run = {"variant": variant, "baseline": baseline, "label": label, "seed": seed, "dataset": "moons", "stage": "train"}
    run |= {"n": 500, "settings": {"split": "validation"}} | more
    rows = [
        run
        | {"metric": metric, "value": value, "reason": "diverged: |x| is large" if math.isnan(value) else None}
        | {"place": {"step": i, "train_seconds": seconds, "nfe_training": 10.0 * i}}
        for i, (seconds, value) in enumerate(points.items(), 1)
    ]
    clock = {"metric": "train_seconds", "value": max(points), "n": None, "settings": {}}
    return [*rows, run | clock, run | {"metric": "nfe_training", "value": 40.0, "n": None, "settings": {}}]


def section(*runs: list[dict[str, Any]]) -> Section:
    return synthetic.section([row for run in runs for row in run])


def entries(of: Section) -> dict[str, tuple[Entry, ...]]:
    found = at_equal_seconds(of)
    assert found
    return {row.label: row.entries for row in grid(found).rows}


def test_a_curve_is_linear_in_the_logarithm_of_its_cost() -> None:
    x, values = [1.0, 4.0, 16.0], [5.0, 3.0, math.nan]
    assert value_at(x, values, 2.0) == pytest.approx(4.0)
    assert value_at(x, values, 4.0) == 3.0 and value_at(x, values, 1.0) == 5.0
    assert math.isnan(value_at(x, values, 8.0)) and math.isnan(value_at(x, values, 0.5))
    assert math.isnan(value_at(x, values, 17.0))


def test_methods_stand_at_the_seconds_of_the_fastest_run() -> None:
    """T = 4: the fast method is at its end, the slow one half way, in logarithms, from 2 s to 8 s."""
    slow = [{2.0: 6.0 + s, 8.0: 4.0 + s, 32.0: 1.0} for s in (0.0, 0.5, 1.0)]
    fast = [{1.0: 4.0, 4.0 + s: 3.0 + s} for s in (0.0, 1.0, 2.0)]
    of = section(*(curve(FAST, s, p) for s, p in enumerate(fast)), *(curve(SLOW, s, p) for s, p in enumerate(slow)))
    found = at_equal_seconds(of)
    assert found and (found.seconds, found.fastest) == (4.0, "FM w/ OT")
    quick, slower = (entries(of)[label] for label in ("FM w/ OT", "DDPM"))
    at = [4.0 + (-1.0 + s) * math.log(4.0) / math.log(4.0 + s) for s in (0.0, 1.0, 2.0)]
    assert (quick[1].value, quick[1].half_width) == pytest.approx(t_interval(at)[:2])
    assert (slower[1].value, slower[1].half_width) == pytest.approx(t_interval([5.0, 5.5, 6.0])[:2])
    assert quick[1].best and not slower[1].best
    assert slower[0].text == "12"  # 4 s of 32, in percent
    made = grid(found)
    assert made.leading == ("Method", "Seeds") and [row.sampler for row in made.rows] == ["3", "3"]
    assert quick[0].value == pytest.approx(100 * (1 + 4 / 5 + 4 / 6) / 3)


def test_a_method_that_was_not_validated_by_then_has_a_hole_with_its_reason() -> None:
    late = curve(LATE, 0, {9.0: 2.0, 18.0: 1.0})
    of = section(curve(FAST, 0, {1.0: 4.0, 4.0: 3.0}), curve(SLOW, 0, {2.0: 6.0, 8.0: 4.0}), late)
    hole = entries(of)["FFJORD"][1]
    assert hole.text == "not yet validated" and hole.title == "not yet validated: first after 9 s"
    found = at_equal_seconds(of)
    assert found
    made = grid(found)
    assert "FFJORD: not yet validated: first after 9 s." in made.remarks
    assert "NLL: validation split, n = 500." in made.remarks
    assert "4 s: the whole training of the fastest run, one of FM w/ OT." in made.remarks
    assert made.title.startswith("moons: quality after equal seconds of training, 4 s (suite mine")


def test_a_value_lost_beside_the_seconds_is_lost_and_one_elsewhere_is_not() -> None:
    fast = [curve(FAST, s, {1.0: 4.0, 4.0: 3.0}) for s in range(3)]
    far, near = {1.0: math.nan, 2.0: 6.0, 8.0: 4.0}, {2.0: 6.0, 8.0: math.nan}
    of = section(*fast, curve(SLOW, 0, far), curve(SLOW, 1, {2.0: 6.0, 8.0: 4.0}), curve(SLOW, 2, near))
    slow = entries(of)["DDPM"][1]
    assert slow.value == pytest.approx(5.0) and slow.tail == "(2 of 3 seeds; 1 diverged)"


def test_seconds_of_a_stack_and_of_another_machine_never_enter() -> None:
    """A share of a clock would be the least of all."""
    shared = curve(LATE, 0, {0.1: 9.0, 0.2: 8.0})
    stacked = [row | {"settings": {"stacked": True}} if row["metric"] == "train_seconds" else row for row in shared]
    elsewhere = curve(LATE, 1, {0.01: 9.0, 0.02: 8.0}, device="cuda")
    of = section(curve(FAST, 0, {1.0: 4.0, 4.0: 3.0}), curve(SLOW, 0, {2.0: 6.0, 8.0: 4.0}), stacked, elsewhere)
    found = at_equal_seconds(of)
    assert found and found.seconds == 4.0
    told = dict(zip(found.rows.run_id, found.rows.reason, strict=True))
    assert told[f"{LATE}-s0"] == "shared seconds: trained in a stack with other seeds"
    assert told[f"{LATE}-s1"] == "another machine: trained on cuda"
    assert entries(of)["FFJORD"][1].text == "shared seconds and another machine"
    assert entries(of)["FFJORD"][0].text == "–"


def test_a_training_under_way_sets_no_seconds() -> None:
    under_way = curve(LATE, 0, {0.5: 9.0, 1.0: 8.0}, status="running")
    runs = curve(FAST, 0, {1.0: 4.0, 4.0: 3.0}), curve(SLOW, 0, {2.0: 6.0, 8.0: 4.0})
    found = at_equal_seconds(section(*runs, under_way))
    assert found and (found.seconds, found.fastest) == (4.0, "FM w/ OT")
    assert set(found.rows.variant) == {FAST, SLOW}
    assert at_equal_seconds(section(runs[0], under_way)) is None


@pytest.mark.parametrize("alone", [[], [(SLOW, {9.0: 2.0, 18.0: 1.0})], [(SLOW, {4.0: 2.0})]])
def test_one_method_alone_is_no_comparison(alone: list[Any]) -> None:
    """Another that was validated later, or at its end only, makes none either: it has one point beyond the seconds."""
    of = section(curve(FAST, 0, {1.0: 4.0, 3.0: 3.0}), *(curve(v, 0, points) for v, points in alone))
    assert at_equal_seconds(of) is None


def test_the_table_stands_after_that_of_quality_and_its_numbers_in_a_file() -> None:
    of = section(
        curve(FAST, 0, {1.0: 4.0, 4.0: 3.0}),
        curve(FAST, 0, {1.0: 0.9, 4.0: 0.7}, metric="precision", n=100),
        curve(SLOW, 0, {2.0: 6.0, 8.0: 4.0}),
        curve(SLOW, 0, {2.0: 0.4, 8.0: 0.8}, metric="precision", n=100),
    )
    titles = [made.title.split(": ")[1].split(" (")[0] for made in table(of).grids]
    assert titles[:3] == ["quality", "quality after equal seconds of training, 4 s", "cost"]
    assert table(of).grids[2].remarks[-1] == COUNTED
    rows = {(row.metric, row.label): row for row in each(tidy([of]))}
    assert {key: (row.mean, row.n, row.lost) for key, row in rows.items()} == {
        ("nll_nats", "FM w/ OT"): (3.0, 1, 0), ("nll_nats", "DDPM"): (pytest.approx(5.0), 1, 0),
        ("precision", "FM w/ OT"): (0.7, 1, 0), ("precision", "DDPM"): (pytest.approx(0.6), 1, 0),
    }  # fmt: skip
    ddpm = rows["nll_nats", "DDPM"]
    assert (ddpm.seconds, ddpm.share, ddpm.settings) == (4.0, 0.5, "validation split, n = 500")
    assert ddpm.run_ids == (f"{SLOW}-s0",)


def test_samples_and_evaluations_are_counted_in_rows() -> None:
    """10 steps of 8, of 40 evaluations a row of the batch in all; of batches of 16 twice as many."""
    larger = [row | {"global_batch": 16} for row in curve(SLOW, 0, {2.0: 6.0, 8.0: 4.0})]
    of = section(curve(FAST, 0, {1.0: 4.0, 4.0: 3.0}), larger)
    cost = next(made for made in table(of).grids if made.group == "cost")
    titles = [header.title for header in cost.headers]
    at = [titles.index(title) for title in ("Steps", "Samples seen", "Evaluations")]
    found = {row.label: [row.entries[i].value for i in at] for row in cost.rows}
    assert found == {"FM w/ OT": [10, 80, 320], "DDPM": [10, 160, 640]}
