import shutil
import subprocess
from pathlib import Path

import pandas
import pytest
import synthetic

from bench.report.grid import Grid
from bench.report.latex import latex, tex
from bench.report.markdown import markdown
from bench.report.sections import sections
from bench.report.tables import Table, table

ODE = {"sampler": "dopri5", "rtol": 1e-5, "atol": 1e-5, "batch": 500}
OTHER = {"variant": "cifar10-ddpm-0a1b2c", "baseline": "ddpm", "label": "DDPM"}
EXPECTED = Path(__file__).parent / "expected" / "table.md"


def tables(frame: pandas.DataFrame) -> list[Table]:
    return [table(section) for section in sections(frame)]


def grids(frame: pandas.DataFrame) -> list[tuple[Grid, tuple[str, ...]]]:
    return [(grid, made.notes) for made in tables(frame) for grid in made.grids]


def heads(grid: Grid) -> list[str]:
    return [column.text for column in grid.headers]


@pytest.mark.slow
def test_golden_table(frame: pandas.DataFrame) -> None:
    """expected/table.md was read and checked against synthetic.py by hand; write it anew only after doing so again."""
    assert markdown(tables(frame)) == EXPECTED.read_text(encoding="utf-8")


@pytest.mark.slow
def test_title_states_suite_protocol_and_seeds(frame: pandas.DataFrame) -> None:
    assert tables(frame)[0].grids[0].title == "checkerboard: quality (suite quick, protocol small, 3 seeds)"


def test_best_is_the_lowest_mean_and_only_where_better_has_a_meaning() -> None:
    rows = [{"settings": ODE, "metric": m, "value": 1.0} for m in ("fid", "precision", "nfe_sampling")]
    others = [{**row, **OTHER, "value": 2.0} for row in rows]
    quality, cost = tables(synthetic.frame(*rows, *others))[0].grids
    best = {row.label: [e.best for e in row.entries] for row in quality.rows}
    assert heads(quality) == ["Seeds", "FID ↓", "FID published", "Precision ↑"]
    assert best == {"FM w/ OT": [False, True, False, False], "DDPM": [False, False, False, True]}
    assert heads(cost)[5:] == ["Sampling NFE ↓", "Sampling NFE published"]
    assert [row.entries[5].best for row in cost.rows] == [True, False]
    assert not any(row.entries[i].best for row in cost.rows for i in range(3))  # seeds, parameters, steps


def test_a_table_of_one_seed_promises_no_interval() -> None:
    of = {"settings": ODE, "metric": "fid"}
    one = [{**of, "value": 1.5}, {**of, **OTHER, "value": 2.5}]
    once, twice = (
        tables(synthetic.frame(*rows))[0].grids[0] for rows in (one, [*one, {**of, "seed": 1, "value": 3.5}])
    )
    assert once.remarks[:2] == (
        "One seed, so no interval over seeds.",
        "Bold: best of its column; one seed establishes no order.",
    )
    assert [row.entries[1].text for row in once.rows] == ["1.500", "2.500"]
    assert twice.remarks[0] == "Mean ± half-width of the 95% t-interval over seeds."
    assert [row.entries[1].text for row in twice.rows] == ["2 ± 13", "2.500"]


def test_a_value_that_most_rows_share_is_not_best() -> None:
    rows = [
        {"settings": ODE, "metric": "nfe_sampling", "variant": f"cifar10-b{i}-000000", "baseline": f"b{i}", "value": v}
        for i, v in enumerate((3.0, 3.0, 4.0))
    ]
    assert not any(e.best for row in tables(synthetic.frame(*rows))[0].grids[1].rows for e in row.entries)


@pytest.mark.slow
def test_failed_and_missing_runs_are_listed(frame: pandas.DataFrame) -> None:
    points, images = tables(frame)
    assert points.notes == (
        "ScoreFlow, seed 1: failed in train: the loss is nan at step 1850 | lr_1e-3 & 5% warm-up",
        "FFJORD, seed 1: missing: sweep not run",
        "RNODE, seed 2: missing: train not run",
    )
    assert images.notes == (
        "RNODE, seed 0: failed in likelihood: dopri5: underflow in dt 0.0",
        "RNODE, seed 0: missing: samples not run",
        "RNODE, seed 0: missing: sweep not run",
    )
    scoreflow = next(row for row in points.grids[0].rows if row.label == "ScoreFlow")
    assert scoreflow.entries[0].plain == "2 of 3 [1]"


def test_published_stands_beside_measured_with_its_protocol() -> None:
    bpd = {"stage": "likelihood", "metric": "nll_bpd", "settings": {"draws": 50, "dequantisation": "uniform"}}
    grid = tables(synthetic.frame({**bpd, "value": 5.2}, {**bpd, **OTHER, "value": 5.1}))[0].grids[0]
    assert heads(grid) == ["Seeds", "Bits/dim ↓", "Bits/dim published"]
    assert [[e.text for e in row.entries[1:]] for row in grid.rows] == [
        ["5.200", "2.99"],
        ["5.100", "3.12"],
    ]
    assert "another protocol than 'small'" in grid.remarks[-1]
    assert "lipman2023 table1 (K=50; dopri5 1e-5)" in grid.remarks[-1]


def test_headers_tell_columns_of_one_metric_apart() -> None:
    rows = [
        {"stage": "likelihood", "metric": "nll_bpd", "settings": {"draws": k, "dequantisation": "uniform"}}
        for k in (1, 50)
    ]
    grid = tables(synthetic.frame(*rows))[0].grids[0]
    assert [h for h in heads(grid) if "published" not in h] == ["Seeds", "Bits/dim ↓ (K = 1)", "Bits/dim ↓ (K = 50)"]


def test_latex_escapes_all_that_is_special() -> None:
    assert tex(r"50% of a_b & {c} #1 $x^2$ ~\ ±") == (
        r"50\% of a\_b \& \{c\} \#1 \$x\textasciicircum{}2\$ \textasciitilde{}\textbackslash{} $\pm$"
    )


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX on this machine")
def test_latex_compiles(frame: pandas.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "table.tex").write_text(latex(grids(frame)), encoding="utf-8")
    packages = r"\usepackage{booktabs}\usepackage{graphicx}"
    document = rf"\documentclass{{article}}{packages}\begin{{document}}\input{{table}}\end{{document}}"
    (tmp_path / "main.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.slow
def test_latex_has_as_many_cells_in_every_line(frame: pandas.DataFrame) -> None:
    for block in latex(grids(frame)).split(r"\toprule")[1:]:
        lines = [line for line in block.split(r"\bottomrule")[0].splitlines() if line.endswith(r" \\")]
        assert len(lines) >= 5
        assert len({line.count(" & ") for line in lines}) == 1


def test_machines_are_numbered_in_headers_and_named_below() -> None:
    train = {"stage": "train", "metric": "train_seconds", "n": None}
    grid = tables(synthetic.frame(train, {**train, **OTHER, "device": "cuda (NVIDIA H200)"}))[0].grids[1]
    assert heads(grid)[5:] == ["Training time [s] ↓ (machine 1)", "Training time [s] ↓ (machine 2)"]
    assert f"Seconds and memory: on {synthetic.DEVICE} (machine 1) and cuda (NVIDIA H200) (machine 2)." in grid.remarks


def test_a_floor_is_the_last_row_and_what_is_not_told_from_it_is_marked() -> None:
    of_floor = {"metric": "w2_floor", "value": 0.2, "stderr": 0.01, "settings": {"floor_split": "train", "repeats": 5}}
    near = {"metric": "w2", "value": 0.25, "stderr": 0.01, "settings": {**ODE, "repeats": 2}}
    far = {**near, **OTHER, "value": 0.5, "stderr": 0.002}
    quality, _ = tables(synthetic.frame(of_floor, near, far))[0].grids
    shown = {row.label: row.entries[-1].text for row in quality.rows}
    assert shown == {
        "FM w/ OT": "0.25 ± 0.13 (1 seed, 2 repeats) ≈",
        "DDPM": "0.50 ± 0.03 (1 seed, 2 repeats)",
        "Floor (as many data)": "0.20 ± 0.07",
    }
    assert list(shown)[-1] == "Floor (as many data)"
    said = " ".join(quality.remarks)
    assert "≈: not beyond that interval" in said and "Floor: as many fresh data" in said and "of its repeats" in said
    assert "W₂: n = 1,000, mean of 2 repeats." in said and tex("≈") == r"$\approx$"
    plain, _ = tables(synthetic.frame({**near, "settings": ODE, "stderr": None}))[0].grids
    assert not any(word in " ".join(plain.remarks) for word in ("≈", "Floor", "repeats"))


def test_exact_fields_stand_below_the_methods() -> None:
    """A row a path, with the interval of its mean; never best, and no mean is marked by it."""
    known = {"n": 1000, "group": "geometry"}
    rows = [
        {**known, "metric": "straightness", "settings": ODE, "value": v, **of} for v, of in ((1.5, {}), (3.0, OTHER))
    ]
    rows += [
        {**known, "metric": "straightness_exact", "settings": {"path": path}, "value": v, "stderr": 0.05, **of}
        for path, v, of in (("OT", 1.2, {}), ("VP", 1.3, OTHER), ("VP", 1.3, {**OTHER, "seed": 1, "run_id": "again"}))
    ]
    (quality, *_) = tables(synthetic.frame(*rows))[0].grids
    assert [(row.label, row.baseline, row.entries[1].plain) for row in quality.rows[2:]] == [
        ("Exact field (OT path)", "", "1.20 ± 0.10"),
        ("Exact field (VP path)", "", "1.30 ± 0.10"),
    ]
    assert [row.entries[1].best for row in quality.rows] == [True, False, False, False]
    assert "≈" not in markdown(tables(synthetic.frame(*rows)))
    assert any(remark.startswith("Exact field: the velocity of a path") for remark in quality.remarks)


def test_floors_around_0_are_said_to_be() -> None:
    row = {"metric": "energy_distance", "settings": {**ODE, "split": "test"}, "value": 2e-3, "n": 1000}
    floor = {"settings": {"split": "test", "floor_split": "train", "repeats": 5}, "stderr": 1e-4, "n": 1000}
    floor |= {"metric": "energy_distance_floor", "value": -2e-4}
    near = {**row, **OTHER, "value": 3e-4}
    (quality, *_) = tables(synthetic.frame(row, near, floor))[0].grids
    assert [row.entries[1].plain for row in quality.rows] == ["0.002000", "0.0003000 ≈", "−0.0002 ± 0.0007"]
    assert "The interval of the floor holds 0, so ≈ says less there: Energy distance²." in quality.remarks
    (quality, *_) = tables(synthetic.frame(row, {**floor, "value": 1e-3}))[0].grids
    assert not any("around 0" in remark for remark in quality.remarks)


def test_several_seeds_of_several_draws_say_both_spreads() -> None:
    """Of the metric that quality is, alone: 2 seeds of 3 draws have 4 degrees of freedom, 2.776 x 0.02 = 0.056."""
    drawn = {"settings": {**ODE, "repeats": 3}, "stderr": 0.02, "n": 1000}
    rows = [
        {**drawn, "metric": m, "value": v, "seed": s}
        for m in ("w2", "energy_distance")
        for s, v in ((0, 1.0), (1, 1.4))
    ]
    (quality, *_) = tables(synthetic.frame(*rows))[0].grids
    assert [entry.plain for entry in quality.rows[0].entries[1:]] == ["1 ± 3 (sampling ± 0.056)", "1 ± 3"]
    assert any(remark.startswith("Sampling: half-width") for remark in quality.remarks)


def test_a_share_is_shown_in_percent() -> None:
    rows = [{"stage": "train", "settings": {}, "metric": "clipped_steps", "value": value} for value in (0.25,)]
    cost = tables(synthetic.frame(*rows))[0].grids[1]
    (place,) = [i for i, header in enumerate(cost.headers) if header.title == "Clipped steps [%]"]
    assert cost.rows[0].entries[place].value == 25
