"""A sweep of methods that do not share their samplers: a line, and a row, per method through its best samplers."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import drawings, section

from bench.records.seal import write_arrays
from bench.report.by_method import best, left_out
from bench.report.evaluations import by_evaluations
from bench.report.grid import ABSENT, Grid

NONE = "not applicable: the model has no such thing"
SAMPLERS = {"euler": ("fm_ot", "ot_cfm", "ddpm"), "heun2": ("fm_ot", "ot_cfm", "ddpm"), "jump": ("mine",)}
LABELS = {"fm_ot": "FM w/ OT", "ot_cfm": "OT-CFM", "ddpm": "DDPM", "mine": "Mine", "gan": "GAN"}
NFE = (1, 2, 4, 8)


def known(baseline: str, **more: Any) -> dict[str, Any]:
    return {"variant": f"cifar10-{baseline}-0a1b2c", "baseline": baseline, "label": LABELS[baseline], **more}


def score(sampler: str, nfe: int) -> float:
    """Euler's is the better one up to 2 evaluations, Heun's from 4 on."""
    return {"euler": 16 / nfe, "heun2": 32 / nfe**2 + 1, "jump": 3.0 + nfe / 10}[sampler]


def rows(*lost: tuple[str, str, int], generator: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The sweep, without what was `lost` (baseline, sampler, evaluations), and a generator's samples."""
    found = []
    for sampler, methods in SAMPLERS.items():
        for place, baseline in enumerate(LABELS):
            for nfe in NFE[sampler == "heun2" :]:
                settings = {"sampler": sampler, "steps": nfe, "weights": "ema", "batch": 1000}
                one = known(baseline, stage="sweep", settings=settings, place={"nfe": nfe})
                value, why = score(sampler, nfe) + place, f"diverged at {nfe} evaluations: {sampler}"
                lost_to = NONE if baseline not in methods else why if (baseline, sampler, nfe) in lost else None
                found.append({**one, "value": math.nan if lost_to else value, "reason": lost_to})
    of_samples = {"sampler": "generator", "weights": "ema", "batch": 500, **(generator or {})}
    one = known("gan", stage="samples", settings=of_samples)
    return [*found, {**one, "value": 6.0}, {**one, "metric": "nfe_sampling", "value": 1.0}]


def grid_of(made: list[dict[str, Any]]) -> Grid:
    (grid,) = by_evaluations(section(made))
    return grid


def test_the_best_sampler_of_each_method_stands_at_every_number_of_evaluations() -> None:
    found = best(section(rows()), "fid")
    assert found and found.budgets == [1, 2, 4, 8]
    of_first = found.points[found.points.variant == known("fm_ot")["variant"]]
    assert list(zip(of_first.budget, of_first.solver, of_first.value, strict=True)) == [
        (1, "euler", 16), (2, "euler", 8), (4, "heun2", 3), (8, "heun2", 1.5),
    ]  # fmt: skip


def test_where_more_is_better_the_best_is_the_greatest() -> None:
    found = best(section([{**row, "metric": row.get("metric", "precision")} for row in rows()]), "precision")
    assert found and list(found.points.solver[:4]) == ["euler", "heun2", "euler", "euler"]


def test_where_neither_more_nor_less_is_better_there_is_no_best() -> None:
    made = section([{**row, "metric": row.get("metric", "density"), "direction": ""} for row in rows()])
    assert best(made, "density") is None and list(by_evaluations(made)) == []
    more = [{**row, "settings": {**row["settings"], "sampler": f"m{i}"}} for i in range(9) for row in rows()[:4]]
    (grid,) = by_evaluations(section([{**row, "metric": "density", "direction": ""} for row in more]))
    assert not any(entry.best for row in grid.rows for entry in row.entries)
    assert not any("Bold" in remark for remark in grid.remarks)


def test_a_row_per_method_names_its_sampler_where_it_changes() -> None:
    grid = grid_of(rows())
    assert [header.text for header in grid.headers] == ["NFE 1 ↓", "NFE 2 ↓", "NFE 4 ↓", "NFE 8 ↓"]
    texts = {row.label: (row.sampler, [entry.text for entry in row.entries]) for row in grid.rows}
    assert texts["FM w/ OT"] == ("", ["16 euler", "8 euler", "3 heun2", "1.500 heun2"])
    assert texts["Mine"] == ("jump", ["6.100", "6.200", "6.400", "6.800"])
    assert texts["GAN"] == ("generator", ["6", ABSENT, ABSENT, ABSENT])
    best_of = {row.label: [entry.best for entry in row.entries] for row in grid.rows}
    assert best_of["GAN"][0] and best_of["Mine"][1] and best_of["FM w/ OT"][2:] == [True, True]
    assert grid.remarks[-1] == "No sampler of the sweep draws from GAN: by the samples of the table."


@pytest.mark.parametrize("other", [{"weights": "raw"}, {"split": "train"}])
def test_samples_of_other_settings_do_not_stand_in_a_sweep(other: dict[str, Any]) -> None:
    found = best(section(rows(generator=other)), "fid")
    grid = grid_of(rows(generator=other))
    assert found and not found.guests and "GAN" not in {row.label for row in grid.rows}
    (who,), why = found.strangers, "no sampler of the sweep draws from it, and its samples are of other settings"
    assert who in ("GAN (raw weights, the sweep: EMA weights)", "GAN (train split, the sweep: none)")
    assert grid.remarks[-1] == f"Without {who}: {why}."
    told = f"cifar10: {who}: {why}: left out of the sweep's figures and tables"
    assert left_out(section(rows(generator=other))) == [told] and left_out(section(rows())) == []


def test_samples_of_another_number_are_left_out_of_panels_of_solvers_and_said() -> None:
    """Methods that share their samplers, and a generator whose samples are more than those of the sweep."""
    made = [row for row in rows() if row["baseline"] in ("fm_ot", "gan") and row["settings"]["sampler"] != "jump"]
    made = [{**row, "n": 1024 if row["stage"] == "samples" else 360} for row in made]
    assert best(section(made), "fid") is None
    (told,) = left_out(section(made))
    assert told.startswith("cifar10: GAN (n = 1,024, the sweep: n = 360): no sampler of the sweep draws from it")


def test_a_method_whose_sweep_failed_does_not_stand_by_its_samples() -> None:
    made = [row for row in rows() if row["baseline"] != "gan" or row["stage"] == "samples"]
    made.append(known("gan", stage="sweep", status="failed", error="boom", value=math.nan))
    found = best(section(made), "fid")
    assert found and not found.guests


def test_a_lost_value_is_that_of_the_next_best_sampler_or_a_hole_with_its_reason() -> None:
    grid = grid_of(rows(("fm_ot", "euler", 1), ("fm_ot", "heun2", 4)))
    (entries,) = [row.entries for row in grid.rows if row.label == "FM w/ OT"]
    assert [entry.text for entry in entries] == ["diverged", "8 euler", "4 euler", "1.500 heun2"]
    assert entries[0].title == "diverged at 1 evaluations: euler"


def test_methods_that_share_few_samplers_have_panels_of_solvers() -> None:
    made = [row for row in rows() if row["baseline"] not in ("mine", "gan") and row["settings"]["sampler"] != "jump"]
    assert best(section(made), "fid") is None and list(by_evaluations(section(made))) == []


@pytest.mark.slow
def test_a_panel_has_a_line_per_method_and_a_marker_per_generator() -> None:
    made = rows(("fm_ot", "euler", 1))
    (drawing,) = drawings(made, "by_method")
    assert drawings(made, "over_nfe") == [] and drawings(made, "samplers") == []
    (axes,) = drawing.figure.axes
    lines = {tuple(line.get_xdata()) for line in axes.lines if line.get_linestyle() == "-"}
    assert {(1, 2, 4, 8), (2, 4, 8), (1,)} <= lines
    assert [line.get_markersize() for line in axes.lines if tuple(line.get_xdata()) == (1,)][-2] == 11
    legend = axes.get_legend()
    assert legend and legend.get_texts()[0].get_text() == "GAN"
    assert "draws from GAN" in drawing.reading and "FM w/ OT (1 diverged)" in drawing.reading


def write_pictures(root: Path) -> None:
    """What a sweep keeps, and a generator's samples: points (9, 2) at the place of their sampler."""
    for baseline in LABELS:
        folder = root / "runs" / f"{known(baseline)['variant']}-s0"
        folder.mkdir(parents=True)
        places = [(name, place) for place, (name, of) in enumerate(SAMPLERS.items()) if baseline in of]
        swept = {f"samples_{name}_{nfe}": points(place) for name, place in places for nfe in NFE[:3]}
        if swept:
            write_arrays(folder / "sweep.npz", {**swept, "extent": np.float64(9.0)})
        else:
            write_arrays(folder / "samples.npz", {"samples": points(7)})


def points(place: int) -> np.ndarray:
    return np.full((9, 2), place, np.float16)


@pytest.mark.slow
def test_samples_at_few_evaluations_are_those_of_the_best_sampler(tmp_path: Path) -> None:
    write_pictures(tmp_path)
    made = rows(("fm_ot", "euler", 1))
    (drawing,) = drawings(made, "few_steps", tmp_path)
    assert drawings(made, "low_nfe", tmp_path) == [] and "A cross stands" in drawing.reading
    panels = [drawing.figure.axes[i * len(LABELS) :][: len(LABELS)] for i in range(3)]
    assert [line[0].texts[0].get_text() for line in panels] == ["NFE 1", "NFE 2", "NFE 4"]
    labels = [axes.get_title("center") for axes in panels[0]]

    def drawn(line: int, label: str) -> list[float]:
        axes = panels[line][labels.index(label)]
        return [float(np.asarray(cloud.get_offsets())[0, 0]) for cloud in axes.collections]

    assert [drawn(line, "OT-CFM") for line in range(3)] == [[0], [0], [1]]  # Euler's twice, then Heun's
    assert [drawn(line, "Mine") for line in range(3)] == [[2], [2], [2]]
    assert [drawn(line, "GAN") for line in range(3)] == [[7], [], []]
    lost = panels[0][labels.index("FM w/ OT")]
    assert [mark.get_marker() for mark in lost.lines] == ["x"] and drawn(1, "FM w/ OT") == [0]
    assert not panels[1][labels.index("GAN")].lines and not panels[1][labels.index("GAN")].axison


@pytest.mark.slow
def test_samples_of_the_midpoint_rule_are_its_own_alone(tmp_path: Path) -> None:
    """A plugin's sampler may have a name that begins with the rule's."""
    made = []
    for baseline in ("fm_ot", "ot_cfm"):
        for sampler in ("midpoint", "midpoint_late"):
            settings = {"sampler": sampler, "steps": 2, "weights": "ema", "batch": 1000}
            made.append(known(baseline, stage="sweep", settings=settings, place={"nfe": 4}, value=1.0))
        folder = tmp_path / "runs" / f"{known(baseline)['variant']}-s0"
        folder.mkdir(parents=True)
        names = ("midpoint_2", "midpoint_10", "midpoint-guidance2_4", "midpoint_late_2", "midpoint_late_4")
        arrays = {f"samples_{name}": points(place) for place, name in enumerate(names)}
        write_arrays(folder / "sweep.npz", {**arrays, "extent": np.float64(9.0)})
    (drawing,) = drawings(made, "low_nfe", tmp_path)
    panels = [text.get_text() for axes in drawing.figure.axes for text in axes.texts]
    titles = [axes.get_title("center") for axes in drawing.figure.axes]
    assert [name for name in [*panels, *titles] if name.startswith("NFE")] == ["NFE 2", "NFE 10"]
