"""What is printed judged by what is measured: cells by hand, and their count."""

import math
from typing import Any

import pandas
import pytest
from scipy.stats import ttest_ind_from_stats

from bench.report.canvas import themed
from bench.report.figure import Drawing
from bench.report.grid import Grid
from bench.report.plots.printed import printed_drawings
from bench.report.reproduced import counted, judged, reproductions
from bench.report.statistics import deviation, half_width, t_interval, welch
from bench.report.style import INK, looks

CELL = {
    "paper": "tong2024_sf2m", "table": "table2", "title": "Table 2 of Tong et al. 2024", "itself": "",
    "suite": "mine", "protocol": "paper", "dataset": "sf2m_moons",
    "setting": "", "method": "fm_ot", "baseline": "fm_ot", "label": "FM", "other": "", "metric": "w2",
    "published": 0.2, "published_std": 0.05, "published_n": 5, "published_note": "", "mean": 0.2, "n": 5, "lost": 0,
    "lost_to": "", "hole": "",
}  # fmt: skip


def cell(mean: float, std: float, **more: Any) -> dict[str, Any]:
    given = {**CELL, "mean": mean, **more}
    half = half_width(std, given["n"]) if given["n"] > 1 else math.nan
    return {"half_width": half, "difference": mean - given["published"], **given}


def verdict(mean: float, std: float, **more: Any) -> tuple[str, str]:
    found = judged(pandas.DataFrame([cell(mean, std, **more)])).iloc[0]
    return found.verdict, found.no_verdict


@pytest.mark.parametrize(
    ("difference", "deviations", "numbers"),
    [(0.02, (0.016, 0.01), (5, 3)), (-0.4, (0.1, 0.0), (5, 5)), (0.0, (1.0, 2.0), (2, 30)), (3.0, (0.5, 0.5), (5, 5))],
)
def test_the_joint_interval_is_that_of_welchs_test(
    difference: float, deviations: tuple[float, float], numbers: tuple[int, int]
) -> None:
    (s1, s2), (n1, n2) = deviations, numbers
    half, p = welch(difference, deviations, numbers)
    assert p == pytest.approx(ttest_ind_from_stats(difference, s1, n1, 0.0, s2, n2, equal_var=False).pvalue, rel=1e-9)
    at_the_edge = ttest_ind_from_stats(half, s1, n1, 0.0, s2, n2, equal_var=False)
    assert at_the_edge.pvalue == pytest.approx(0.05, rel=1e-9)


def test_equal_deviations_of_equal_numbers_are_students_two_samples() -> None:
    half, _ = welch(0.0, (1.0, 1.0), (5, 5))
    assert half == pytest.approx(2.306004 * math.sqrt(2 / 5), rel=1e-6)  # t_{.975, 8}


def test_a_deviation_is_had_from_the_interval_of_a_mean() -> None:
    values = [1.0, 2.0, 4.0, 8.0]
    assert deviation(t_interval(values).half_width, 4) == pytest.approx(pandas.Series(values).std())


def test_a_cell_is_within_above_or_below() -> None:
    # Half-width 2.306 * .05 * sqrt(2 / 5) = .0729.
    found = judged(pandas.DataFrame([cell(mean, 0.05) for mean in (0.2, 0.272, 0.274, 0.128, 0.126)]))
    assert found.verdict.tolist() == ["within", "within", "above", "within", "below"]
    assert found.joint_half_width.tolist() == pytest.approx([0.0729222] * 5, rel=1e-5)
    assert found["std"].tolist() == pytest.approx([0.05] * 5)
    assert (found.no_verdict == "").all() and ((found.p < 0.05) == (found.verdict != "within")).all()


def test_a_difference_below_the_printed_rounding_is_within() -> None:
    printed = {"published": 0.995, "published_std": 0.0}
    assert verdict(0.9954, 1e-5, **printed) == ("within", "")
    assert verdict(0.9956, 1e-5, **printed) == ("above", "")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"n": 0, "hole": "not run", "published_note": "copied"}, "not run, copied"),
        ({"n": 0, "hole": "failed in train: no memory"}, "failed in train: no memory"),
        ({"n": 4, "lost": 1, "lost_to": "diverged"}, "1 of 5 seeds diverged"),
        ({"n": 1}, "no deviation over seeds"),
        ({"half_width": math.nan}, "no deviation over seeds"),
        ({"published_n": 1}, "no deviation over seeds"),
        ({"half_width": 0.0, "published_std": 0.0}, "no deviation on either side"),
        ({"difference": math.nan}, "not compared under this protocol"),
        ({"published_std": math.nan}, ""),
        ({"published_n": math.nan}, ""),
        ({"published": math.nan}, ""),
    ],
)
def test_a_cell_without_a_verdict_says_why(more: dict[str, Any], why: str) -> None:
    assert verdict(0.9, 0.05, **more) == ("", why)


def counts(rows: list[dict[str, Any]]) -> tuple[Grid, dict[tuple[str, str], list[str]]]:
    (grid,) = reproductions(judged(pandas.DataFrame(rows)))
    return grid, {(row.label, row.sampler): [entry.text for entry in row.entries] for row in grid.rows}


def test_every_variant_has_its_count_by_metric_and_so_have_all_methods() -> None:
    icfm = {"method": "icfm", "baseline": "icfm", "label": "I-CFM"}
    last = {"other": "keep = last"}
    rows = [
        cell(0.2, 0.05, itself="keep = best"), cell(0.9, 0.05, dataset="sf2m_scurve"), cell(0.2, 0.05, metric="npe"),
        cell(0.2, 0.05, **last, label="FM, keep = last"), cell(0.2, 0.05, **icfm),
        cell(0.9, 0.05, **icfm | last | {"label": "I-CFM, keep = last"}),
        cell(0.2, 0.05, setting="shift = both"), cell(0.0, 0.0, n=0, hole="not run", method="dsb", label="DSB"),
    ]  # fmt: skip
    grid, found = counts(rows)
    assert grid.title == "Table 2 of Tong et al. 2024: what is reproduced (suite mine, protocol paper)"
    assert [header.title for header in grid.headers] == ["W₂", "NPE", "All", "W₂ over printed", "NPE over printed"]
    assert found == {  # medians of .2 / .2 and .9 / .2
        ("FM", ""): ["1 of 2", "1 of 1", "2 of 3", "2.75", "1.00"],
        ("FM", "keep = last"): ["1 of 1", "–", "1 of 1", "1.00", "–"],
        ("FM", "shift = both"): ["1 of 1", "–", "1 of 1", "1.00", "–"],
        ("I-CFM", ""): ["1 of 1", "–", "1 of 1", "1.00", "–"],
        ("I-CFM", "keep = last"): ["0 of 1", "–", "0 of 1", "4.50", "–"],
        ("All methods", ""): ["2 of 3", "1 of 1", "3 of 4", "1.00", "1.00"],
        ("All methods", "keep = last"): ["1 of 2", "–", "1 of 2", "2.75", "–"],
        ("Chance alone leaves out", ""): ["0.2", "0.1", "0.2", "", ""],
    }
    assert grid.remarks[1:] == (
        "3 of 4 cells within the joint 95% interval; chance alone would leave out 0.2.",
        "The first of FM: keep = best.",
        "No verdict on 1 cell of DSB: not run.",
    )


def test_nothing_is_counted_where_nothing_has_a_verdict() -> None:
    assert reproductions(judged(pandas.DataFrame([cell(0.2, 0.05, n=0, hole="not run")]))) == []


def test_the_count_is_of_the_first_variants() -> None:
    rows = pandas.DataFrame([cell(0.9, 0.05), cell(0.2, 0.05, other="keep = last")])
    assert counted(judged(rows)).startswith("0 of 1 cells within")


def drawn(rows: list[dict[str, Any]]) -> Drawing:
    with themed():
        (drawing,) = printed_drawings(judged(pandas.DataFrame(rows)), ["fm_ot"])
    return drawing


def test_a_panel_a_metric_shows_printed_and_measured_means_with_both_deviations() -> None:
    rows = [
        cell(0.21, 0.05), cell(2.5, 0.05, published=0.5, other="keep = last"), cell(0.3, 0.01, metric="npe"),
        cell(0.0, 0.0, n=0, hole="not run", method="dsb", label="DSB"),
    ]  # fmt: skip
    drawing = drawn(rows)
    assert drawing.title == "Table 2 of Tong et al. 2024: measured against printed"
    assert (drawing.name, drawing.note) == (
        "printed-tong2024_sf2m-Table 2 of Tong et al. 2024-mine-paper",
        "suite mine, protocol paper",
    )
    w2, npe = drawing.figure.axes
    assert [axes.get_title(loc) for axes in (w2, npe) for loc in ("left", "center")].count("W₂") == 1
    assert (w2.get_xscale(), npe.get_xscale()) == ("log", "linear")  # 0.2 to 2.5, and 0.2 to 0.3
    marks = [bars.lines[0] for bars in w2.containers]
    assert [(mark.get_xdata()[0], mark.get_ydata()[0]) for mark in marks] == [(0.2, 0.21), (0.5, 2.5)]
    across, up = (bars.get_segments()[0] for bars in w2.containers[0].lines[2])
    assert across[:, 0].tolist() == pytest.approx([0.15, 0.25]) and up[:, 1].tolist() == pytest.approx([0.16, 0.26])
    fills = [(mark.get_markerfacecolor(), mark.get_markeredgecolor()) for mark in marks]
    colour = looks(["fm_ot"])["fm_ot"].colour
    assert fills == [(colour, "white"), ("white", INK)]  # within; and a further variant that is above
    assert [text.get_text() for text in npe.get_legend().get_texts()] == ["FM"]


def test_a_bar_never_reaches_zero_on_a_logarithmic_axis() -> None:
    drawing = drawn([cell(0.02, 0.05, published=0.02), cell(0.9, 0.1, published=0.9)])
    (axes,) = drawing.figure.axes
    assert axes.get_xscale() == "log"
    lows = [bars.get_segments()[0].min() for bars in axes.containers[0].lines[2]]
    assert lows == pytest.approx([0.002, 0.002])
