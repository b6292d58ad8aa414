"""The summary of a dataset, beside values worked by hand."""

import math
from typing import Any

import synthetic

from bench.report.sections import sections
from bench.report.summary import summary

NLL = {"stage": "likelihood", "metric": "nll_nats", "settings": synthetic.LIKELIHOOD}
W2 = {"stage": "samples", "metric": "w2", "settings": synthetic.ODE}
NFE = {"stage": "samples", "metric": "nfe_sampling", "settings": synthetic.ODE}
TRAINED = {"stage": "train", "metric": "nfe_training", "settings": {}, "global_batch": 512}
SECONDS = {"stage": "train", "metric": "train_seconds", "settings": {}}


def rows(baseline: str, **values: tuple[float, float]) -> list[dict[str, Any]]:
    """A measurement of two seeds each."""
    of = {"nll": NLL, "w2": W2, "nfe": NFE, "trained": TRAINED, "seconds": SECONDS}
    own = {"dataset": "moons", "baseline": baseline, "label": baseline.upper(), "variant": f"moons-{baseline}"}
    return [
        {**of[name], **own, "seed": seed, "value": value}
        for name, both in values.items()
        for seed, value in enumerate(both)
    ]


def test_a_row_has_the_headline_numbers_of_its_method() -> None:
    made = rows("a", nll=(3.0, 3.2), w2=(0.2, 0.4), nfe=(26, 26), trained=(4000, 4000), seconds=(6, 8))
    made += rows("b", nll=(2.0, 2.2), w2=(0.5, 0.7), nfe=(30, 32), trained=(3000, 5000), seconds=(1, 2))
    (section,) = sections(synthetic.frame(*made))
    grid = summary(section)
    assert grid is not None and grid.leading == ("Method", "Seeds")
    heads = ["NLL [nats] ↓", "W₂ ↓", "NFE ↓", "Evaluations [k] ↓", "Training [s] ↓"]
    assert [header.text for header in grid.headers] == heads
    first, second = grid.rows
    assert (first.label, first.sampler) == ("A", "2")
    means = [[round(entry.value, 9) for entry in row.entries] for row in grid.rows]
    assert means == [[3.1, 0.3, 26, 2048, 7], [2.1, 0.6, 31, 2048, 1.5]]
    assert math.isclose(first.entries[0].half_width, 12.7062 * 0.1, rel_tol=1e-5)  # t of one degree of freedom
    assert [entry.best for entry in first.entries] == [False, True, True, False, False]
    assert [entry.best for entry in second.entries] == [True, False, False, False, True]


def test_what_was_not_measured_is_absent_and_a_metric_of_nobody_has_no_column() -> None:
    (section,) = sections(synthetic.frame(*rows("a", w2=(0.2, 0.4)), *rows("b", seconds=(1, 2))))
    grid = summary(section)
    assert grid is not None and [header.text for header in grid.headers] == ["W₂ ↓", "Training [s] ↓"]
    assert [[entry.words for entry in row.entries] for row in grid.rows] == [["", "–"], ["–", ""]]


def test_one_seed_is_said_by_its_row_alone() -> None:
    one = [row for row in rows("a", w2=(0.2, 0.4), seconds=(6, 8)) if row["seed"] == 0]
    for others, text in (([], "0.2000"), (rows("b", w2=(0.5, 0.7)), "0.2000")):
        (section,) = sections(synthetic.frame(*one, *others))
        grid = summary(section)
        assert grid is not None and (grid.rows[0].sampler, grid.rows[0].entries[0].text) == ("1", text)


def test_a_mean_that_lost_a_seed_is_not_the_best() -> None:
    made = [row for row in rows("a", nll=(3.0, 3.2), w2=(0.2, 0.4)) if (row["metric"], row["seed"]) != ("w2", 1)]
    (section,) = sections(synthetic.frame(*made, *rows("b", w2=(0.5, 0.7)), *rows("c", w2=(0.6, 0.7))))
    grid = summary(section)
    assert grid is not None
    found = [row.entries[1] for row in grid.rows]
    assert [entry.best for entry in found] == [False, True, False]
    assert [entry.title for entry in found] == ["1 of 2 seeds", "", ""]


def test_a_section_without_numbers_has_no_summary() -> None:
    (section,) = sections(synthetic.frame({**NLL, "status": "failed", "value": None, "error": "it broke"}))
    assert summary(section) is None


def test_what_the_data_itself_scores_is_the_last_row_and_marks_what_is_not_beyond_it() -> None:
    of = {**synthetic.ODE, "split": "test"}
    made = [{**row, "settings": of, "n": 1000} for row in rows("a", w2=(0.1, 0.3)) + rows("b", w2=(0.5, 0.7))]
    floor = {"metric": "w2_floor", "value": 0.1, "stderr": 0.05, "n": 1000, "dataset": "moons"}
    floor |= {"settings": {"split": "test", "floor_split": "train", "repeats": 5}}
    exact = {**NLL, "metric": "nll_floor", "value": 2.0, "settings": {"split": "test", "density": "exact"}, "n": 2000}
    whose = {key: made[0][key] for key in ("dataset", "baseline", "label", "variant")}
    nll = [{**row, "settings": {**synthetic.LIKELIHOOD, "split": "test"}, "n": 2000} for row in rows("a", nll=(1.9, 2))]
    found = [*made, *nll, {**W2, **floor, **whose}, {**exact, **whose}]
    (section,) = sections(synthetic.frame(*found))
    grid = summary(section)
    assert grid is not None
    last = grid.rows[-1]
    assert (last.label, last.baseline, last.sampler) == ("Floor", "", "")
    density, w2 = last.entries
    assert (density.value, w2.value, w2.best) == (2.0, 0.1, False) and math.isnan(density.half_width)
    # One set more of five: 2.776 * (.05 * 5^.5) * (1 + 1 / 5)^.5.
    assert math.isclose(w2.half_width, 2.776445 * 0.05 * math.sqrt(5 + 1), rel_tol=1e-5)
    assert [row.entries[1].tail for row in grid.rows] == ["≈", "", ""]
    assert any(remark.startswith("Floor: the exact density") for remark in grid.remarks)
    assert any(remark.startswith("≈: ") for remark in grid.remarks)
