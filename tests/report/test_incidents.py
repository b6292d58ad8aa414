"""Values that could not be had stand where they would: in cells, notes, claims."""

import math
from typing import Any

import pytest
import synthetic

from bench.papers.claims import Claim
from bench.report.cells import headline
from bench.report.incidents import head, kind, kinds
from bench.report.sections import Section, sections
from bench.report.tables import table
from bench.report.verdicts import Verdict, verdicts

WHY = "diverged at 4 evaluations: euler: the solution is not finite at t = 1"
LOST = {"value": math.nan, "reason": WHY}
CLAIM: dict[str, Any] = {"id": "T", "title": "t", "subject": "fm_ot", "against": "ddpm", "metric": "w2"}


def of(baseline: str, seed: int, value: float, **more: Any) -> dict[str, Any]:
    fixed = {"dataset": "moons", "baseline": baseline, "label": synthetic.LABELS[baseline], "metric": "w2"}
    return {
        **fixed,
        "variant": f"moons-{baseline}-0a1b2c",
        "seed": seed,
        "value": value,
        "settings": synthetic.ODE,
        **more,
    }


def both(seeds: int = 3, **more: Any) -> list[dict[str, Any]]:
    """FM w/ OT at half of DDPM's distance, give or take."""
    return [of(b, s, v + 0.01 * s, **more) for s in range(seeds) for b, v in (("fm_ot", 1.0), ("ddpm", 2.0))]


def judge(rows: list[dict[str, Any]], **claim: Any) -> Verdict:
    parts = sections(synthetic.frame(*rows))
    (verdict,) = verdicts([Claim(**{**CLAIM, **claim})], parts, [])
    return verdict


def entry(section: Section, label: str) -> Any:
    grid = table(section).grids[0]
    return next(row.entries[-1] for row in grid.rows if row.label == label)


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        (WHY, "diverged"),
        ("diverged", "diverged"),
        ("out of memory: 3 GiB", "out of memory"),
        ("3 of 300 samples are not finite", "not finite"),
        ("ValueError: x", "ValueError"),
        ("a long story without an end in sight", "no value"),
        ("", "no value"),
    ],
)
def test_a_cell_has_the_kind_of_a_reason(reason: str, word: str) -> None:
    assert kind(reason) == word


def test_a_sentence_has_the_head_of_a_reason_and_kinds_are_said_once() -> None:
    assert head(WHY) == "diverged at 4 evaluations"
    assert kinds([WHY, "diverged", "out of memory: 3 GiB"]) == "diverged and out of memory"


def test_a_lost_value_is_a_word_with_its_reason_and_a_note() -> None:
    (section,) = sections(synthetic.frame(*[{**row, **LOST} if row["baseline"] == "ddpm" else row for row in both()]))
    found = entry(section, "DDPM")
    assert (found.text, found.title, found.notes) == ("diverged", WHY, (1,))
    assert table(section).notes == (f"DDPM, seeds 0, 1, 2: samples: {WHY}",)


def test_a_mean_of_the_seeds_that_are_left_says_so_and_is_not_the_best() -> None:
    rows = both()
    rows[0] |= LOST
    (section,) = sections(synthetic.frame(*rows))
    found = entry(section, "FM w/ OT")
    assert found.text == "1.02 ± 0.06 (2 of 3 seeds; 1 diverged)"
    assert found.notes == (1,) and found.title == WHY and not found.best


@pytest.mark.parametrize("place", [0, 1])
def test_a_lost_value_of_either_side_leaves_a_claim_undecided_with_its_reason(place: int) -> None:
    rows = both(5)
    assert judge(rows).word == "supported"
    rows[place] |= LOST
    verdict = judge(rows)
    who = ("FM w/ OT", "DDPM")[place]
    assert (verdict.word, verdict.summary) == (
        "undecided", f"W₂: 4 of 5 seeds with a finite effect ({who}: diverged at 4 evaluations)"
    )  # fmt: skip


def test_a_claim_on_values_that_nobody_has_says_why() -> None:
    verdict = judge([{**row, **LOST} for row in both()])
    assert verdict.word == "undecided" and "DDPM: diverged at 4 evaluations" in verdict.summary


def test_another_comparison_still_contradicts() -> None:
    rows = both(5) + [of("rnode", s, 0.1 + 0.01 * s) for s in range(5)]
    rows[1] |= LOST
    assert judge(rows, against=["ddpm", "rnode"]).word == "contradicted"


def test_what_few_evaluations_lose_is_not_left_out_of_their_mean() -> None:
    def at(nfe: int) -> dict[str, Any]:
        return {"stage": "sweep", "settings": {"sampler": "euler", "steps": nfe, "nfe": float(nfe)}}

    rows = [*both(**at(4)), *both(**at(8))]
    asked = {"measure": "few", "metric": "quality", "solvers": ["euler"], "nfe": [4, 8]}
    assert judge(rows, **asked).word == "supported"
    rows[0] |= LOST
    verdict = judge(rows, **asked)
    assert verdict.word == "undecided" and "2 of 3 seeds" in verdict.summary and "diverged" in verdict.summary
    assert judge(rows, **{**asked, "nfe": [8]}).word == "supported"  # which lacks nothing


def test_a_curve_with_a_hole_has_no_time_to_its_target() -> None:
    def at(step: int) -> dict[str, Any]:
        place = {"curve": True, "step": step, "train_seconds": float(step), "nfe_training": step}
        return {"stage": "train", "settings": {**synthetic.ODE, **place}}

    rows = [*both(**at(10)), *both(**at(20))]
    asked = {"measure": "to_target"}
    assert "seeds with a finite effect" not in judge(rows, **asked).summary
    rows[0] |= LOST
    assert "2 of 3 seeds with a finite effect (FM w/ OT: diverged" in judge(rows, **asked).summary


def test_what_a_model_cannot_have_is_a_dash_with_its_reason_and_no_loss() -> None:
    why = "not applicable: a GAN has no density"
    rows = [*both(), *[of("fm_ot", s, math.nan, metric="npe", reason=why) for s in range(3)]]
    rows += [of("ddpm", s, 0.1, metric="npe") for s in range(3)]
    (section,) = sections(synthetic.frame(*rows))
    cell = headline([section]).query("baseline == 'fm_ot' and metric == 'npe'").iloc[0]
    assert (cell.n, cell.lost, cell.lost_to, cell.hole) == (0, 0, "", why)
    assert section.incidents == []
    assert (entry(section, synthetic.LABELS["fm_ot"]).text, entry(section, synthetic.LABELS["fm_ot"]).title) == (
        "–",
        why,
    )


def test_what_a_model_cannot_have_makes_no_column_and_is_said_below_the_table() -> None:
    why = "not applicable: a GAN has no density"
    nll = {"metric": "nll_nats", "stage": "likelihood"}
    rows = [*both(), of("fm_ot", 0, math.nan, **nll, settings={}, reason=why)]
    rows += [of("ddpm", s, 3.0, **nll, settings=synthetic.LIKELIHOOD) for s in range(3)]
    (section,) = sections(synthetic.frame(*rows))
    grid = table(section).grids[0]
    assert [column.title for column in grid.headers] == ["Seeds", "NLL [nats]", "W₂"]
    assert [(row.entries[1].words, row.entries[1].title) for row in grid.rows] == [("–", why), ("", "")]
    assert f"– of FM w/ OT: {why}." in grid.remarks


def test_the_first_sampler_of_a_model_without_an_ode_is_its_row() -> None:
    drawn = [{"sampler": "two steps", "batch": 500}, {"sampler": "direct", "batch": 500}]
    rows = [of("fm_ot", 0, 1.0 + i, settings=settings) for i, settings in enumerate(drawn)]
    rows.append(of("fm_ot", 0, 9.0, metric="train_seconds", stage="train", settings={}))
    cells = headline(sections(synthetic.frame(*rows)))
    found = {(cell.metric, cell.sampler): (cell["mean"], cell.is_headline) for _, cell in cells.iterrows()}
    assert found["w2", "two steps"] == (1.0, True) and found["w2", "direct"] == (2.0, False)
    assert found["train_seconds", "two steps"] == (9.0, True)
