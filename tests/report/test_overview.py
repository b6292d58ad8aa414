"""The comparison of methods over datasets, beside cases worked by hand."""

import math
from typing import Any

import pytest
import synthetic

from bench.report.canvas import themed
from bench.report.improvement import improvements
from bench.report.overview import overviews
from bench.report.sections import sections


def test_ranks_and_probabilities_of_a_case_by_hand() -> None:
    """a against b: 1 < 2, 1 < 3, 3 > 2, 3 = 3 make 2.5 of 4; against c 4 of 4. Then b alone is best."""
    found = improvements([{"a": [1, 3], "b": [2, 3], "c": [5, 5]}, {"a": [2], "b": [1]}])
    assert found["a"].probability == pytest.approx((0.8125 + 0) / 2)
    assert found["b"].probability == pytest.approx(((0.375 + 1) / 2 + 1) / 2)
    assert found["c"].probability == 0 and found["c"].datasets == 1
    assert [found[name].rank for name in "abc"] == [(1 + 2) / 2, (2 + 1) / 2, 3]


def test_the_interval_is_that_of_all_bootstrap_samples() -> None:
    """Samples of (0, 2) against 1 alone: P is 0, 1/2, 1 with 1/4, 1/2, 1/4, so the 95% interval is all of it."""
    of = improvements([{"a": [0, 2], "b": [1]}])["a"]
    assert (of.probability, of.low, of.high) == (0.5, 0.0, 1.0)
    clear = improvements([{"a": [0, 0.5], "b": [1, 2]}])["a"]
    assert (clear.low, clear.high) == (1.0, 1.0)


def test_the_strata_are_datasets() -> None:
    """Two coins on data of their own: their mean is 1/2 half of the time, and rarely 0 or 1."""
    coins = [{"a": [0, 2], "b": [1]}] * 6
    of = improvements(coins)["a"]
    assert 0.1 < of.low < 0.3 and 0.7 < of.high < 0.9


def test_one_seed_has_no_interval_and_ties_share_a_rank() -> None:
    found = improvements([{"a": [1], "b": [1], "c": [0]}])
    assert math.isnan(found["a"].low) and [found[name].rank for name in "abc"] == [2.5, 2.5, 1]
    assert found["a"].probability == 0.25 and improvements([{"a": [1, 2]}]) == {}


def test_an_overview_ranks_every_measure_and_counts_a_lost_value_as_the_worst() -> None:
    ode = {"stage": "samples", "metric": "w2", "settings": synthetic.ODE}
    nll = {"stage": "likelihood", "metric": "nll_nats", "settings": synthetic.LIKELIHOOD}
    rows = [
        {**row, "dataset": "moons", "baseline": b, "label": label, "variant": f"moons-{b}", "seed": seed, **given}
        for b, label, w2 in (("a", "A", 1.0), ("b", "B", 2.0))
        for seed in range(2)
        for row, given in ((ode, {"value": w2 + seed / 10}), (nll, {"value": -w2}))
    ]
    parts = sections(synthetic.frame(*rows))
    (found,) = overviews(parts)
    assert list(found.measures) == ["Quality", "Likelihood"]
    assert (found.measures["Quality"]["A"].probability, found.measures["Likelihood"]["A"].rank) == (1.0, 2.0)
    grid = found.grid()
    assert [column.text for column in grid.headers][:2] == ["Quality: mean rank ↓", "Quality: P ↑"]
    assert (grid.rows[0].label, grid.rows[0].sampler) == ("A", "1")
    assert [entry.text for entry in grid.rows[0].entries] == ["1.00", "1.00 [1.00, 1.00]", "2.00", "0.00 [0.00, 0.00]"]
    for row in rows[:4]:
        if row["metric"] == "w2":
            row |= {"value": math.nan, "reason": "diverged"}
    parts = sections(synthetic.frame(*rows))
    (lost,) = overviews(parts)
    assert lost.measures["Quality"]["A"].probability == 0.0


def drawn(label: str, w2: float, seeds: int = 3, **more: Any) -> list[dict[str, Any]]:
    """Records of a method on moons by its W2; with the settings of an ODE, unless others are given."""
    fixed = {"dataset": "moons", "baseline": label.lower(), "label": label, "variant": f"moons-{label.lower()}"}
    fixed |= {"stage": "samples", "metric": "w2", "settings": synthetic.ODE}
    return [{**fixed, "seed": seed, "value": w2 + seed / 100, **more} for seed in range(seeds)]


@pytest.mark.slow
def test_labels_stand_within_the_figure_however_long() -> None:
    for label in ("I-CFM, default coupling, default options", "FM, lr = 0.01, " * 5):
        (found,) = overviews(sections(synthetic.frame(*drawn("A", 0.5), *drawn(label, 0.6))))
        with themed():
            figure = found.drawing().figure
            figure.canvas.draw()
            boxes = [text.get_window_extent() for axes in figure.axes for text in axes.texts]
        assert len(boxes) == 2 and min(box.x0 for box in boxes) >= 0
        assert min(axes.get_window_extent().width for axes in figure.axes) > figure.dpi


ONE_SHOT = {"sampler": "generator", "batch": 2000, "weights": "ema"}


def test_a_model_without_an_ode_is_ranked_by_its_first_sampler() -> None:
    rows = [*drawn("A", 0.5), *drawn("B", 0.6), *drawn("Gan", 0.1, settings=ONE_SHOT)]
    rows += drawn("Gan", 9.0, settings={**ONE_SHOT, "sampler": "noisy"})
    rows += [{**row, "metric": "nfe_sampling", "value": 1.0 if row["label"] == "Gan" else 20.0} for row in rows[:9]]
    (found,) = overviews(sections(synthetic.frame(*rows)))
    assert {label: of.rank for label, of in found.measures["Quality"].items()} == {"A": 2, "B": 3, "Gan": 1}
    assert found.measures["Sampling NFE"]["Gan"].probability == 1


def test_a_further_sampler_of_an_ode_is_not_mixed_with_the_headline() -> None:
    euler = {**synthetic.ODE, "sampler": "euler", "solver": "euler", "steps": 4}
    rows = [*drawn("A", 0.5), *drawn("B", 0.6), *drawn("A", 9.0, settings=euler)]
    (found,) = overviews(sections(synthetic.frame(*rows)))
    assert found.measures["Quality"]["A"].rank == 1


def test_a_seed_whose_run_failed_is_worse_than_any_number_and_one_that_was_not_run_is_not_counted() -> None:
    dead = {"status": "failed", "error": "out of memory", "metric": "", "value": math.nan, "stage": "train"}
    rows = [*drawn("A", 0.5), *drawn("B", 0.1)]
    assert overviews(sections(synthetic.frame(*rows)))[0].measures["Quality"]["B"].probability == 1
    rows[-1] |= dead
    (found,) = overviews(sections(synthetic.frame(*rows)))
    assert found.measures["Quality"]["B"].rank == 2
    assert found.measures["Quality"]["B"].probability == pytest.approx(2 / 3)
    rows[-1] |= {"status": "missing"}
    assert overviews(sections(synthetic.frame(*rows)))[0].measures["Quality"]["B"].rank == 1
    for row in rows[-3:]:  # a method that failed wherever it was tried is the last
        row |= dead
    (found,) = overviews(sections(synthetic.frame(*rows, *drawn("C", 0.7))))
    assert [found.measures["Quality"][label].rank for label in "ABC"] == [1, 3, 2]


def test_a_failed_likelihood_is_no_rank_in_quality() -> None:
    failed = {"stage": "likelihood", "status": "failed", "metric": "", "value": math.nan}
    rows = [*drawn("A", 0.5), *drawn("B", 0.1)]
    rows[-1] |= {"stale": "code changed"}
    (found,) = overviews(sections(synthetic.frame(*rows, *drawn("B", 0.0, **failed))))
    assert found.measures["Quality"]["B"].rank == found.measures["Quality"]["B"].probability == 1


def test_a_failed_run_of_what_is_not_applicable_is_no_rank() -> None:
    nll = {"stage": "likelihood", "metric": "nll_nats", "settings": synthetic.LIKELIHOOD}
    none = {**nll, "value": math.nan, "reason": "not applicable: a GAN has no density"}
    failed = {**nll, "status": "failed", "metric": "", "value": math.nan, "stage": "train"}
    rows = [*drawn("A", 1.0, **nll), *drawn("B", 2.0, **nll), *drawn("Gan", 0.0, **none)]
    rows[-1] |= failed
    (found,) = overviews(sections(synthetic.frame(*rows)))
    assert set(found.measures["Likelihood"]) == {"A", "B"}


def test_a_density_of_the_models_own_is_ranked_with_those_by_the_ode() -> None:
    nll = {"stage": "likelihood", "metric": "nll_nats", "n": 2000}
    by_ode = {**nll, "settings": {**synthetic.LIKELIHOOD, "divergence": "exact", "draws": 1}}
    own = {**nll, "settings": {"density": "own", "batch": 1000, "split": "test", "weights": "ema", "draws": 1}}
    rows = [*drawn("A", 3.5, **by_ode), *drawn("B", 3.6, **by_ode), *drawn("Flow", 3.4, **own)]
    (found,) = overviews(sections(synthetic.frame(*rows)))
    assert found.measures["Likelihood"]["Flow"].rank == 1
