"""What was tuned, from frames whose numbers are known: the table, the figure, and untuned runs beside tuned ones."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import synthetic

from bench.config.choice import Choice, Tried
from bench.papers.claims import Claim
from bench.report import tuning, untuned
from bench.report.build import write
from bench.report.canvas import themed
from bench.report.cells import headline
from bench.report.claim_tables import claim_tables
from bench.report.claim_tables import tidy as tidy_claims
from bench.report.extract import each
from bench.report.origins import facts
from bench.report.page import page
from bench.report.plots.tuning import tuning_drawings
from bench.report.sections import Section, sections
from bench.report.verdicts import verdicts

RATES = (0.002, 0.004, 0.01)
TUNED = {"fm_ot": (3.70, 3.71, 3.69, 3.70), "ddpm": (3.69, 3.72, 3.70, 3.70)}  # by seed
OWN = {"fm_ot": (3.75, 3.76, 3.74, 3.75), "ddpm": (3.83, 3.85, 3.82, 3.84)}
SCORES: dict[str, list[float | None]] = {"fm_ot": [3.9, 3.8, 3.7], "ddpm": [4.1, 3.6, None]}
CLAIM = Claim(id="T", title="FM-OT has the better NLL", subject=["fm_ot"], against=["ddpm"], metric="nll")


def rows(kind: str, dataset: str = "moons", values: dict[str, tuple[float, ...]] | None = None) -> list[dict[str, Any]]:
    made = []
    for baseline, of_seeds in (values or {"tuned": TUNED, "untuned": OWN, "": OWN}[kind]).items():
        about = {"dataset": dataset, "baseline": baseline, "label": synthetic.LABELS[baseline], "tuning": kind}
        about |= {"variant": f"{dataset}-{baseline}-{kind or 'plain'}", "global_batch": 64, "network": "mlp"}
        for seed, value in enumerate(of_seeds):
            likelihood = {"stage": "likelihood", "metric": "nll_nats", "settings": synthetic.LIKELIHOOD, "n": 100}
            made.append(about | likelihood | {"seed": seed, "value": value})
    return made


def trials(dataset: str = "moons") -> list[dict[str, Any]]:
    """As trials are in the frame: trainings of a tuning seed with a point on validation."""
    about = {"dataset": dataset, "baseline": "fm_ot", "tuning": "trial", "stage": "train", "seed": 1000}
    place = {"step": 9.0, "train_seconds": 1.0, "nfe_training": 9.0}
    return [
        about | {"variant": f"{dataset}-fm_ot-{i}", "metric": "nll_nats", "value": 1.0, "place": place}
        for i in range(len(RATES))
    ]


def choice(baseline: str, chosen: float, edge: bool = False) -> Choice:
    tried = tuple(
        Tried(values={"training.lr": rate}, trials=(f"t{rate}",), score=score, reason="" if score else "diverged")
        for rate, score in zip(RATES, SCORES[baseline], strict=True)
    )
    edges = ("training.lr",) if edge else ()
    to = {"training.lr": chosen}
    return Choice(to=to, metric="nll_nats", tried=tried, edge=edges, seconds=12.5, evaluations=300.0)


def choices(*datasets: str) -> dict[str, Choice]:
    of = {"fm_ot": choice("fm_ot", 0.01, edge=True), "ddpm": choice("ddpm", 0.004)}
    return {f"{dataset}-{name}-tuned": one for dataset in datasets for name, one in of.items()}


def tuned(*datasets: str, more: list[dict[str, Any]] | None = None) -> list[Section]:
    made = [row for name in datasets for kind in ("tuned", "untuned") for row in rows(kind, name)]
    return sections(synthetic.frame(*made, *trials(datasets[0]), *(more or [])), {}, choices(*datasets))


def test_no_mean_has_a_trial_or_an_untuned_run() -> None:
    (section,) = tuned("moons")
    assert section.untuned and section.seeds == 4
    means = {row.label: row.mean for row in each(headline([section]))}
    assert means == pytest.approx({"FM w/ OT": 3.70, "DDPM": 3.7025})
    assert [row.mean for row in each(section.untuned.cells)] == pytest.approx([3.75, 3.835])
    assert [*section.untuned.labels.values()] == ["FM w/ OT", "DDPM"]
    (plain,) = sections(synthetic.frame(*rows("")))
    assert plain.untuned is None and plain.choices == {} and tuning.grids(plain) == untuned.grids(plain) == []


def test_the_table_has_a_row_per_method_and_a_column_per_value() -> None:
    (section,) = tuned("moons")
    (grid,) = tuning.grids(section)
    assert grid.title == "moons: tuning by NLL (suite mine, protocol small, 4 seeds)"
    titles = ["0.002", "0.004", "0.01", "Trials [s]", "Trials [k evaluations]"]
    assert grid.leading == ("Method", "Chosen") and [header.text for header in grid.headers] == titles
    first, second = grid.rows
    assert (first.label, first.sampler) == ("FM w/ OT", "0.01, edge") and second.sampler == "0.004"
    assert [entry.text for entry in first.entries] == ["3.900", "3.800", "3.700", "12.5", "19.2"]
    assert [entry.best for entry in first.entries] == [False, False, True, False, False]
    assert [entry.text for entry in second.entries[:3]] == ["4.100", "3.600", "lost"] and second.entries[1].best
    assert "learning rate" in grid.remarks[0] and "1 tuning seed that is not reported" in grid.remarks[0]
    assert grid.remarks[-1] == "Lost: DDPM at 0.01 (diverged)."


def test_the_tidy_table_has_a_row_per_value_that_was_tried() -> None:
    found = tuning.tidy(tuned("moons"))
    assert len(found) == 6 and list(found.chosen) == [False, False, True, False, True, False]
    assert list(found.edge) == ["", "", "training.lr", "", "", ""]
    last = found.iloc[-1]
    assert (last["values"], last.reason, last.tuning_evaluations) == ('{"training.lr": 0.01}', "diverged", 19_200)
    assert math.isnan(last.score) and list(found.columns) == tuning.COLUMNS


def test_several_keys_and_other_grids_of_values_have_columns_of_their_own() -> None:
    wide = Tried(values={"training.lr": 0.01, "network.width": 64}, trials=("t",), score=3.0)
    of = choice("fm_ot", 0.01).model_copy(update={"tried": (wide,), "to": wide.values})
    made = synthetic.frame(*rows("tuned"))
    (section,) = sections(made, {}, {**choices("moons"), "moons-fm_ot-tuned": of})
    (grid,) = tuning.grids(section)
    assert [header.text for header in grid.headers[:-2]] == ["lr = 0.01, width = 64", "0.002", "0.004", "0.01"]
    assert [entry.text for entry in grid.rows[0].entries[:2]] == ["3", "–"]


def test_untuned_runs_stand_beside_the_tuned_ones_in_a_table_of_their_own() -> None:
    (section,) = tuned("moons")
    (grid,) = untuned.grids(section)
    assert [header.text for header in grid.headers] == ["NLL [nats], untuned ↓", "NLL [nats], tuned ↓"]
    assert [(row.label, row.sampler) for row in grid.rows] == [("FM w/ OT", "4"), ("DDPM", "4")]
    assert [entry.value for row in grid.rows for entry in row.entries] == pytest.approx([3.75, 3.70, 3.835, 3.7025])


@pytest.mark.slow
def test_a_report_has_table_figure_notes_and_verdicts_of_tuning(tmp_path: Path) -> None:
    died = {"stage": "train", "status": "failed", "error": "it broke", "metric": "", "value": None}
    lost = {**rows("untuned")[0], **died, "seed": 9}
    frame = synthetic.frame(*rows("tuned"), *rows("untuned"), *trials(), lost)
    configs = {f"moons-{name}-untuned": {"training": {"lr": 0.004}} for name in OWN}
    files = {path.name for path in write(tmp_path, "it tunes", frame, configs, [CLAIM], [], choices("moons"))}
    assert {"tuning.csv", "tuning.png", "claims.md"} <= files
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert "moons: tuning by NLL" in text and "moons: untuned beside tuned" in text
    assert "Untuned: FM w/ OT" in text and "it broke" in text
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert (
        "At the suite's own settings, untuned: <strong>" in html and "NLL on validation against learning rate" in html
    )
    assert "untuned: another word for 1 of 1</li>" in html and "<li>settings tuned</li>" in html
    assert "could not be drawn" not in html and "tuning:" not in html


def test_a_page_says_once_that_untuned_runs_have_the_same_words() -> None:
    (verdict,) = judged(tuned("moons"))
    same = replace(verdict, untuned=replace(verdict.untuned, word=verdict.word, summary="it says no more"))
    assert verdict.otherwise is verdict.untuned and same.otherwise is None
    shown = page("", synthetic.frame(), [], [same, same], [], [], {}, [])
    assert shown.count("untuned: the same words</li>") == shown.count("untuned: ") == 1
    assert "it says no more" not in shown


def test_a_header_says_on_which_part_of_the_data_settings_are_tuned() -> None:
    other = {"dataset": "digits", "variant": "digits-fm_ot-0a1b2c"}
    frame = synthetic.frame(*rows("tuned"), other)
    assert facts(sections(frame), frame)[-1] == "settings tuned on 1 of 2 datasets"
    assert facts(sections(synthetic.frame(other)), frame)[-1] == "1 seed"


def judged(parts: list[Section]) -> list[Any]:
    complaints: list[str] = []
    found = untuned.with_untuned([CLAIM], parts, verdicts([CLAIM], parts, complaints), complaints)
    assert complaints == []
    return found


def test_a_claim_has_the_word_on_untuned_runs_beside_that_on_tuned_ones() -> None:
    (verdict,) = judged(tuned("moons"))
    own = verdict.untuned
    assert (verdict.word, own.word) == ("undecided", "supported")
    assert own.effects[0].mean == pytest.approx(-0.085) and verdict.effects[0].mean == pytest.approx(-0.0025)
    (grid,) = claim_tables([verdict])
    assert grid.headers[-1].title == "Untuned" and grid.rows[0].entries[-1].text == "+"
    assert f"Untuned supported: {own.summary}." in grid.remarks[-1]
    table = tidy_claims([verdict])
    assert [*table.tuning] == ["", "untuned"] and [*table["mean"]] == pytest.approx([-0.0025, -0.085])


def test_a_claim_whose_word_is_the_same_says_so() -> None:
    better = {"fm_ot": (3.5, 3.51, 3.49, 3.5), "ddpm": TUNED["ddpm"]}
    parts = sections(synthetic.frame(*rows("tuned", values=better), *rows("untuned")), {}, choices("moons"))
    (verdict,) = judged(parts)
    (grid,) = claim_tables([verdict])
    assert grid.rows[0].entries[-1].text == "same" and "Untuned" not in grid.remarks[-1]
    (plain,) = judged(sections(synthetic.frame(*rows(""))))
    assert plain.untuned is None and len(claim_tables([plain])[0].headers) == 2


def test_untuned_verdicts_are_of_untuned_runs_and_of_data_that_is_not_tuned() -> None:
    """Rings are not tuned; circles are, without an untuned run."""
    parts = tuned("moons", more=[*rows("", "rings"), *rows("tuned", "circles")])
    (verdict,) = judged(parts)
    assert [part.dataset for part in verdict.parts] == ["moons", "rings", "circles"]
    assert [part.dataset for part in verdict.untuned.parts] == ["moons", "rings"]


def test_the_figure_has_a_panel_per_dataset_with_every_value_and_a_ring_for_the_choice() -> None:
    parts = tuned("moons", "rings")
    configs = {f"moons-{name}-untuned": {"training": {"lr": 0.004}} for name in OWN}
    with themed():
        (drawing,) = tuning_drawings(parts, configs)
    assert (drawing.title, drawing.name) == ("NLL on validation against learning rate, by method", "tuning")
    moons, rings = drawing.figure.axes
    assert [axes.get_title(loc="left") for axes in (moons, rings)] == ["moons", "rings"] and moons.get_xscale() == "log"
    lines = [line for line in moons.lines if line.get_linestyle() == "-"]
    drawn = [(list(line.get_xdata()), list(line.get_ydata())) for line in lines if len(line.get_xdata()) > 1]
    assert drawn == [([0.002, 0.004, 0.01], [3.9, 3.8, 3.7]), ([0.002, 0.004], [4.1, 3.6])]
    rings_at = [line.get_xdata()[0] for line in moons.lines if line.get_markerfacecolor() == "none"]
    assert rings_at == [0.01, 0.004]
    dashed = [[line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == "--"] for axes in (moons, rings)]
    assert dashed == [[0.004], []]
    crosses = [list(line.get_xdata()) for line in moons.lines if line.get_marker() == "x"]
    assert crosses == [[0.01]]


def test_no_figure_of_a_suite_that_tunes_nothing_or_words() -> None:
    assert list(tuning_drawings(sections(synthetic.frame(*rows(""))), {})) == []
    words = tuple(Tried(values={"training.decay": name}, trials=("t",), score=1.0) for name in ("linear", "cosine"))
    of = choice("fm_ot", 0.01).model_copy(update={"tried": words, "to": words[0].values})
    (section,) = sections(synthetic.frame(*rows("tuned")), {}, {"moons-fm_ot-tuned": of})
    assert list(tuning_drawings([section], {})) == []
    assert [header.text for header in tuning.grids(section)[0].headers[:2]] == ["linear", "cosine"]
