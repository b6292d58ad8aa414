"""Lost points stand beside the plain mean that hangs on them, and what is concluded goes by the defensive one."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import synthetic

from bench.papers.claims import Claim
from bench.papers.paper import published_numbers
from bench.report.effects import Effects
from bench.report.equal_seconds import at_equal_seconds
from bench.report.equal_seconds import grid as grid_of
from bench.report.grid import Grid
from bench.report.overview import overviews
from bench.report.published import printed_tables
from bench.report.published_table import published_grid
from bench.report.remarks import HANGING
from bench.report.sections import Section
from bench.report.summary import summary
from bench.report.tables import table
from bench.report.verdicts import verdicts

Row = dict[str, Any]
PLAIN = {**synthetic.LIKELIHOOD, "divergence": "exact", "draws": 1}
MIXED = {**PLAIN, "epsilon": 1e-3, "mixed_with": "normal"}
CLAIM = Claim(id="T", title="t", subject="fm_ot", against="scoreflow", seeds=3)
NAMES = {"nll_nats": PLAIN, "nll_defensive_nats": MIXED, "lost_points": MIXED}


def runs(baseline: str, more: Row | None = None, **values: Sequence[float]) -> list[Row]:
    """Of each metric a value a seed, NaN for one that was lost."""
    own = {
        "dataset": "moons",
        "baseline": baseline,
        "label": synthetic.LABELS[baseline],
        "variant": f"moons-{baseline}",
    }
    found = []
    for metric, of_seeds in values.items():
        for seed, value in enumerate(of_seeds):
            row = {"stage": "likelihood", "metric": metric, "settings": NAMES.get(metric, PLAIN), "n": 4000}
            lost = {"reason": "1 of 4000 log-densities are not finite"} if math.isnan(value) else {}
            found.append({**own, **row, "seed": seed, "value": value, **lost, **(more or {})})
    return found


SOUND = runs("fm_ot", nll_nats=(3.0, 3.01, 3.02), nll_defensive_nats=(3.001, 3.011, 3.021), lost_points=(0, 0, 0))
LOSING = runs("scoreflow", nll_nats=(3.1, 8.4e22, 3.12), nll_defensive_nats=(3.11, 3.15, 3.13), lost_points=(0, 3, 0))
OLD = [*runs("fm_ot", nll_nats=(3.0, 3.01, 3.02)), *runs("scoreflow", nll_nats=(3.1, 8.4e22, 3.12))]


def shown(rows: list[Row]) -> tuple[Grid, dict[str, dict[str, str]]]:
    """The grid of quality, and by method what stands in it."""
    grid = table(synthetic.section(rows)).grids[0]
    heads = [header.text for header in grid.headers]
    return grid, {row.label: dict(zip(heads, (e.text for e in row.entries), strict=True)) for row in grid.rows}


# Tables.


def test_a_plain_mean_names_the_points_that_it_hangs_on_and_has_no_interval() -> None:
    grid, found = shown([*SOUND, *LOSING])
    assert found["ScoreFlow"] == {
        "Seeds": "3",
        "NLL [nats] ↓": "2.800e22 (3 of 12,000 points lost)",
        "Defensive NLL [nats] ↓": "3.13 ± 0.05",
        "Lost [points] ↓": "1 ± 4",
    }
    assert found["FM w/ OT"]["NLL [nats] ↓"] == "3.01 ± 0.02" and found["FM w/ OT"]["Lost [points] ↓"] == "0 ± 0"
    assert HANGING in grid.remarks
    assert any("ε = 0.001, mixed with the normal density of the training data" in remark for remark in grid.remarks)


def test_a_mean_that_hangs_on_lost_points_is_never_the_best() -> None:
    """Of three methods the lowest plain mean is one whose lost points happened to cost little."""
    low = runs("ddpm", nll_nats=(2.9, 2.9, 2.9), nll_defensive_nats=(3.3, 3.3, 3.3), lost_points=(1, 0, 0))
    grid, _ = shown([*SOUND, *LOSING, *low])
    place = [header.text for header in grid.headers].index("NLL [nats] ↓")
    assert {row.label: row.entries[place].best for row in grid.rows} == {
        "FM w/ OT": False, "ScoreFlow": False, "DDPM": False,
    }  # fmt: skip
    grid, _ = shown([*SOUND, *LOSING, *low, *runs("rnode", nll_nats=(3.5,) * 3, lost_points=(0,) * 3)])
    assert [row.label for row in grid.rows if row.entries[place].best] == ["FM w/ OT"]


def test_at_equal_seconds_stands_the_likelihood_that_verdicts_take() -> None:
    for names, heads in (
        (["nll_nats"], ["NLL [nats]"]),
        (["nll_nats", "nll_defensive_nats"], ["Defensive NLL [nats]"]),
    ):
        found = at_equal_seconds(synthetic.section(on_curve(*names)))
        assert found and [header.title for header in grid_of(found).headers[1:]] == heads


def test_without_a_lost_point_there_is_no_column_of_them_and_no_word() -> None:
    grid, found = shown([*SOUND, *runs("ddpm", nll_nats=(3.1, 3.2, 3.3), lost_points=(0, 0, 0))])
    assert list(found["DDPM"]) == ["Seeds", "NLL [nats] ↓", "Defensive NLL [nats] ↓"]
    assert found["DDPM"]["NLL [nats] ↓"] == "3.2 ± 0.2" and HANGING not in grid.remarks


def test_points_lost_to_minus_infinity_stand_beside_the_lost_seeds() -> None:
    """A seed whose plain mean is infinite has none; its points count all the same."""
    rows = runs("ddpm", nll_nats=(3.1, math.nan, 5e9), nll_defensive_nats=(3.1, 3.2, 3.3), lost_points=(0, 1, 2))
    _, found = shown([*SOUND, *rows])
    plain = "2.500e9 (2 of 3 seeds; 1 not finite) (3 of 12,000 points lost)"
    assert found["DDPM"]["NLL [nats] ↓"] == plain and found["DDPM"]["Defensive NLL [nats] ↓"] == "3.2 ± 0.2"


def test_points_are_lost_under_the_settings_of_their_own_column() -> None:
    """By another solver, or another K, as many may be lost as there are, and none are said elsewhere."""
    other = {**PLAIN, "solver": "midpoint", "steps": 50}
    rows = [{**row, "settings": {**row["settings"], **other}, "value": 0.0} for row in LOSING]
    _, found = shown([*LOSING, *rows])
    plain = [text for head, text in found["ScoreFlow"].items() if head.startswith("NLL")]
    assert sorted(plain) == ["0 ± 0", "2.800e22 (3 of 12,000 points lost)"]


def test_of_one_seed_there_is_its_number_alone() -> None:
    _, found = shown([row for row in [*SOUND, *LOSING] if row["seed"] == 1])
    assert found["ScoreFlow"]["NLL [nats] ↓"] == "8.400e22 (3 of 4,000 points lost)"
    assert found["ScoreFlow"]["Lost [points] ↓"] == "3"


def test_records_of_before_have_their_plain_mean_as_it_was() -> None:
    grid, found = shown(OLD)
    assert list(found["ScoreFlow"]) == ["Seeds", "NLL [nats] ↓"] and HANGING not in grid.remarks
    assert "± " in found["ScoreFlow"]["NLL [nats] ↓"]


def test_the_papers_own_table_names_them_too_and_keeps_the_plain_one() -> None:
    found = printed_tables(synthetic.section([*SOUND, *LOSING]), published_numbers(), {})
    (printed,) = (one for one in found if one.table.title == "Table 1 of Lipman et al. 2023")
    grid = published_grid(printed)
    assert [header.text for header in grid.headers][:2] == ["NLL [nats]", "Defensive NLL [nats]"]
    (row,) = (row for row in grid.rows if row.label == "ScoreFlow")
    assert row.entries[0].text == "2.800e22 (3 of 12,000 points lost)" and row.entries[1].text == "3.13 ± 0.05"
    assert set(printed.cells.metric) == {"nll_nats", "nll_defensive_nats"}


def test_the_floor_of_the_defensive_one_is_the_exact_density() -> None:
    exact = {"split": "test", "density": "exact"}
    mixture = {key: MIXED[key] for key in ("epsilon", "mixed_with")}
    rows = [*SOUND, *runs("fm_ot", {"settings": exact}, nll_floor=(2.9, 2.9, 2.9))]
    rows += runs("fm_ot", {"settings": {**exact, **mixture}}, nll_defensive_floor=(2.901, 2.901, 2.901))
    _, found = shown(rows)
    assert found["Floor (exact density)"] == {"Seeds": "", "NLL [nats] ↓": "2.900", "Defensive NLL [nats] ↓": "2.901"}


# What "nll" stands for.


def resolved(rows: list[Row], stage: str = "samples") -> str | None:
    return synthetic.section(rows).metric("nll", stage)


def test_nll_is_the_defensive_one_if_every_record_has_it() -> None:
    assert resolved([*SOUND, *LOSING]) == "nll_defensive_nats"
    assert resolved(OLD) == resolved([*SOUND, *OLD]) == "nll_nats"
    assert resolved([*SOUND, *runs("ddpm", nll_nats=(3.0, 3.1))]) == "nll_nats"  # records of before among them
    assert resolved([*SOUND, {**OLD[0], "seed": 7}]) == "nll_nats"
    assert resolved(runs("fm_ot", w2=(1.0,))) == "nll_nats"


def test_a_value_that_was_lost_or_cannot_be_had_changes_nothing() -> None:
    """A failure is a failure of either; a model without a density has neither; a bound has no defensive twin."""
    nothing = runs("ddpm", {"reason": "not applicable: it has no density"}, nll_nats=(math.nan,))
    failed = runs("scoreflow", nll_nats=(math.nan,), nll_defensive_nats=(math.nan,))
    bound = runs("rnode", bound_nats=(4.0, 4.1))
    assert resolved([*SOUND, *nothing, *failed, *bound]) == "nll_defensive_nats"
    # Data whose covariance is singular: of every run of the set.
    refused = "not applicable: the covariance of the training data is singular"
    singular = runs("fm_ot", {"reason": refused}, nll_defensive_nats=(math.nan,) * 3)
    assert resolved([*OLD, *singular]) == "nll_nats"


def on_curve(*metrics: str) -> list[Row]:
    """Two points of the validation curves of two methods."""
    places = [{"curve": True, "step": step, "train_seconds": 1.0 * step, "nfe_training": step} for step in (1, 2)]
    return [
        row
        for baseline in ("fm_ot", "ddpm")
        for metric in metrics
        for place in places
        for row in runs(baseline, {"stage": "train", "settings": {**NAMES[metric], **place}}, **{metric: (3.0,)})
    ]


def test_curves_and_final_values_resolve_apart() -> None:
    plain, both = on_curve("nll_nats"), on_curve("nll_nats", "nll_defensive_nats")
    assert (resolved([*SOUND, *plain], "train"), resolved([*SOUND, *plain])) == ("nll_nats", "nll_defensive_nats")
    assert (resolved([*OLD, *both], "train"), resolved([*OLD, *both])) == ("nll_defensive_nats", "nll_nats")
    assert resolved([*SOUND, *both[:-1]], "train") == "nll_nats"  # a point is of before
    for rows, metric in ((plain, "nll_nats"), (both, "nll_defensive_nats")):
        asked = CLAIM.model_copy(update={"against": ("ddpm",), "measure": "to_target", "over": "step"})
        assert Effects(asked, synthetic.section(rows)).metric == metric


@pytest.mark.slow
def test_one_likelihood_is_drawn_over_training() -> None:
    for rows, name in (
        (on_curve("nll_nats"), "NLL"),
        (on_curve("nll_nats", "nll_defensive_nats"), "Defensive NLL"),
    ):
        (drawing,) = synthetic.drawings(rows, "over_training")
        assert drawing.title.startswith(f"{name} against evaluations")


def test_images_have_it_by_dimension() -> None:
    def of(metric: str) -> Row:
        return {"stage": "likelihood", "metric": metric, "settings": {"draws": 1, "dequantisation": "uniform"}}

    assert resolved([of("nll_bpd")]) == "nll_bpd"
    assert resolved([of("nll_bpd"), of("nll_defensive_bpd")]) == "nll_defensive_bpd"


@pytest.mark.parametrize(("rows", "said"), [([*SOUND, *LOSING], "Defensive NLL: −0.1"), (OLD, "NLL: ")])
def test_a_claim_on_likelihood_says_by_which(rows: list[Row], said: str) -> None:
    complaints: list[str] = []
    (verdict,) = verdicts([CLAIM], [synthetic.section(rows)], complaints)
    assert verdict.summary.startswith(said) and not complaints
    assert (verdict.word == "supported") == said.startswith("Defensive")


def test_overview_and_summary_go_by_the_same() -> None:
    """A method that loses a point is no worse than any number: it is as good as its defensive mean."""
    section: Section = synthetic.section([*SOUND, *LOSING])
    (overview,) = overviews([section])
    assert overview.measures["Likelihood"]["FM w/ OT"].probability == 1
    (worse,) = overviews(
        [synthetic.section([*SOUND, *runs("scoreflow", **{**_values(LOSING), "nll_nats": (9.0,) * 3})])]
    )
    assert worse.measures["Likelihood"] == overview.measures["Likelihood"]
    grid = summary(section)
    assert grid is not None and grid.headers[0].text == "Defensive NLL [nats] ↓"


def _values(rows: list[Row]) -> dict[str, list[float]]:
    return {name: [row["value"] for row in rows if row["metric"] == name] for name in NAMES}
