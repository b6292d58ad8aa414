"""A sweep of more samplers than have a panel each: a row of panels per method, and a table by evaluations."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
from synthetic import drawings, section

from bench.report.evaluations import by_evaluations
from bench.report.grid import ABSENT, Entry, Grid
from bench.report.sweeps import MOST

METHODS = {"cifar10-fm_ot-0a1b2c": ("fm_ot", "FM w/ OT"), "cifar10-ddpm-0a1b2c": ("ddpm", "DDPM")}
SOLVERS = ("euler", "midpoint", "heun2", "rk4")
OTHERS = ("edm", "unipc", "ddim")
NFE = (4, 8, 16)
NONE = "not applicable: its path is OptimalTransport"


def rows(**more: Any) -> list[dict[str, Any]]:
    """FID 100 / NFE of the first sampler and 1 + place / 10 times as much of the others; EDM lacks an evaluation."""
    found = []
    for variant, (baseline, label) in METHODS.items():
        known = {"variant": variant, "baseline": baseline, "label": label, "stage": "sweep", "metric": "fid", **more}
        for place, name in enumerate(SOLVERS + OTHERS):
            for asked in NFE:
                nfe = asked - (name == "edm")
                settings = {"sampler": name, "steps": nfe, **({"solver": name} if name in SOLVERS else {})}
                value = (100 + 10 * place) / nfe
                one = {**known, "settings": settings, "value": value, "place": {"nfe": nfe}}
                if (baseline, name) == ("fm_ot", "ddim"):
                    one |= {"value": math.nan, "reason": NONE}
                if (baseline, name, asked) == ("ddpm", "euler", 4):
                    one |= {"value": math.nan, "reason": "diverged at 4 evaluations: euler"}
                found.append(one)
    return found


@pytest.fixture(scope="module")
def grid() -> Grid:
    (made,) = by_evaluations(section(rows()))
    return made


def texts(grid: Grid, label: str, sampler: str) -> list[str]:
    (row,) = [row for row in grid.rows if (row.label, row.sampler) == (label, sampler)]
    return [entry.text for entry in row.entries]


def test_a_row_per_method_and_sampler_and_a_column_per_number_of_evaluations(grid: Grid) -> None:
    assert len(SOLVERS + OTHERS) == MOST + 1
    assert [header.text for header in grid.headers] == ["NFE 4 ↓", "NFE 8 ↓", "NFE 16 ↓"]
    assert [(row.label, row.sampler) for row in grid.rows][:2] == [("FM w/ OT", "euler"), ("FM w/ OT", "midpoint")]
    assert len(grid.rows) == 2 * len(SOLVERS + OTHERS) - 1
    assert [float(text.split()[0]) for text in texts(grid, "FM w/ OT", "midpoint")] == pytest.approx(
        [27.5, 13.75, 6.875]
    )


def test_a_column_holds_what_is_had_within_its_evaluations(grid: Grid) -> None:
    """EDM's 3, 7 and 15 evaluations stand at 4, 8 and 16."""
    found = [entry.value for row in grid.rows if (row.label, row.sampler) == ("DDPM", "edm") for entry in row.entries]
    assert found == pytest.approx([140 / 3, 20, 140 / 15])


def test_the_best_of_each_method_is_marked_and_what_was_lost_is_said(grid: Grid) -> None:
    best = {(row.label, row.sampler, i) for row in grid.rows for i, entry in enumerate(row.entries) if entry.best}
    first = {("FM w/ OT", "euler", i) for i in range(3)} | {("DDPM", "euler", 1), ("DDPM", "euler", 2)}
    assert best == first | {("DDPM", "midpoint", 0)}
    assert texts(grid, "DDPM", "euler")[0] == "diverged"


def test_what_cannot_be_drawn_is_named_with_its_reason(grid: Grid) -> None:
    assert grid.remarks[-1] == f"Without ddim of FM w/ OT: {NONE}."


def test_methods_that_lack_the_same_samplers_for_one_reason_share_a_sentence() -> None:
    measured = [row if math.isfinite(row["value"]) else {**row, "value": 1.0, "reason": ""} for row in rows()]
    lost = [
        {**row, "settings": {**row["settings"], "sampler": "flow_map"}, "value": math.nan, "reason": NONE}
        for row in measured
        if row["settings"]["sampler"] == "ddim"
    ]
    (grid,) = by_evaluations(section(measured + lost))
    assert grid.remarks[-1] == f"Without flow_map of FM w/ OT and DDPM: {NONE}."


def test_where_more_is_better_the_greatest_is_the_best() -> None:
    (grid,) = by_evaluations(section([{**row, "metric": "precision"} for row in rows()]))
    last = [row.sampler for row in grid.rows if row.entries[2].best]
    assert last == ["unipc", "ddim"]


def seeded(found: Sequence[tuple[float, float]]) -> tuple[Entry, ...]:
    """The entries of dopri5 at one tolerance beside fixed-step samplers of DDPM, by its NFE and value of each seed."""
    made = []
    for seed, (nfe, value) in enumerate(found):
        made += [{**row, "seed": seed} for row in rows() if row["baseline"] == "ddpm"]
        own = {"settings": {"sampler": "dopri5", "rtol": 0.1, "atol": 0.1}, "value": value, "place": {"nfe": nfe}}
        own |= {"reason": "diverged at a tolerance of 0.1: dopri5"} if math.isnan(value) else {}
        made.append({**made[-1], **own})
    (grid,) = by_evaluations(section(made))
    (row,) = [row for row in grid.rows if row.sampler == "dopri5"]
    return row.entries


def test_seeds_that_spend_unlike_evaluations_stand_by_their_mean() -> None:
    """7, 8 and 9 evaluations are 8 on average, and 8, 8 and 11 are 9, which 8 do not allow."""
    at_8 = seeded([(7, 1.0), (8, 5.0), (9, 6.0)])
    assert [entry.words for entry in at_8] == [ABSENT, "", ""] and at_8[1].value == pytest.approx(4.0)
    beyond = seeded([(8, 1.0), (8, 5.0), (11, 6.0)])
    assert [entry.words for entry in beyond] == [ABSENT, ABSENT, ""]
    assert len(beyond[2].runs) == 3 and beyond[2].n == 3


def test_a_mean_of_the_seeds_that_are_left_says_so_and_is_not_the_best() -> None:
    entry = seeded([(8, 0.1), (8, math.nan), (8, 0.2)])[1]
    assert entry.value == pytest.approx(0.15) and entry.text.endswith("(2 of 3 seeds; 1 diverged)")
    assert not entry.best and entry.title == "diverged at a tolerance of 0.1: dopri5"
    assert seeded([(8, 0.1), (8, 0.15), (8, 0.2)])[1].best


def test_few_samplers_have_no_such_table() -> None:
    few = [row for row in rows() if row["settings"]["sampler"] != "unipc"]
    assert list(by_evaluations(section(few))) == []


@pytest.mark.slow
def test_panels_of_many_samplers_are_methods_and_kinds() -> None:
    (drawing,) = drawings(rows(), "samplers")
    assert drawing.name.endswith("fid_by_sampler") and drawings(rows(), "over_nfe") == []
    panels = drawing.figure.axes
    assert [axes.get_title("left") for axes in panels] == ["FM w/ OT", "", "DDPM", ""]
    legends = [legend for axes in panels if (legend := axes.get_legend())]
    assert [[text.get_text() for text in legend.get_texts()] for legend in legends] == [list(SOLVERS), list(OTHERS)]
    # An exponential integrator and EDM solve the ODE too, but are made for models with a path.
    assert [legend.get_title().get_text() for legend in legends] == ["Solvers of any ODE", "Samplers of such models"]
    assert len({axes.get_ylim() for axes in panels}) == len({axes.get_xlim() for axes in panels}) == 1
    # The band of the best, and a line per sampler that can draw from the method.
    assert [len(axes.lines) for axes in panels] == [5, 3, 6, 4]


@pytest.mark.slow
def test_values_below_zero_stand_on_the_lower_edge() -> None:
    made = [{**row, "value": -row["value"] if row["settings"]["sampler"] == "rk4" else row["value"]} for row in rows()]
    (drawing,) = drawings(made, "samplers")
    least = min(row["value"] for row in made if row["value"] > 0)
    assert all(axes.get_yscale() == "log" and 0 < axes.get_ylim()[0] < least for axes in drawing.figure.axes)
    assert all((line.get_ydata() == least).all() for axes in drawing.figure.axes[::2] for line in axes.lines[4:5])
    assert "Values below the axis stand on its lower edge." in drawing.reading


@pytest.mark.slow
def test_few_samplers_have_a_panel_each() -> None:
    few = [row for row in rows() if row["settings"]["sampler"] != "unipc"]
    assert drawings(few, "samplers") == [] and len(drawings(few, "over_nfe")) == 1
