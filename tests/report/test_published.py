import math
from typing import Any

import pandas
import pytest
import synthetic

from bench.papers.paper import published_numbers
from bench.report.grid import Grid
from bench.report.published import COLUMNS, printed_tables
from bench.report.published_table import published_grid
from bench.report.related import related
from bench.report.sections import sections

BPD = {**synthetic.LIKELIHOOD, "divergence": "hutchinson", "probes": 1, "dequantisation": "uniform"}
EULER = {"sampler": "euler", "steps": 100, "batch": 10000, "weights": "raw", "split": "test"}
FID = {**synthetic.ODE, "extractor": "inception", "split": "train"}


def of(baseline: str, metric: str, value: float, seed: int = 0, **more: Any) -> dict[str, Any]:
    label = synthetic.LABELS.get(baseline, baseline)
    stage = "likelihood" if metric == "nll_bpd" else "train" if metric == "train_seconds" else "samples"
    return {
        "variant": f"cifar10-{baseline}-0a1b2c", "baseline": baseline, "label": label,
        "seed": seed, "metric": metric, "value": value, "stage": stage, "settings": FID, **more,
    }  # fmt: skip


def made(
    rows: list[dict[str, Any]], configs: dict[str, dict[str, Any]] | None = None
) -> tuple[dict[str, Grid], pandas.DataFrame]:
    frame = synthetic.frame(*rows)
    published = published_numbers()
    (section,) = sections(frame)
    printed = printed_tables(section, published, configs or {})
    tidy = pandas.concat([one.cells for one in printed]) if printed else pandas.DataFrame(columns=COLUMNS)
    return {one.table.title: published_grid(one) for one in printed}, tidy


def heads(grid: Grid) -> list[str]:
    return [column.text for column in grid.headers]


def line(grid: Grid, label: str) -> dict[str, str]:
    row = next(row for row in grid.rows if row.label == label)
    return dict(zip(heads(grid), [entry.text for entry in row.entries], strict=True))


ROWS = [
    *(of("fm_ot", "nll_bpd", 3.0 + 0.01 * s, s, settings={**BPD, "draws": 50}) for s in (0, 1, 2)),
    *(of("fm_ot", "nll_bpd", 3.2, s, settings={**BPD, "draws": 1}) for s in (0, 1, 2)),
    *(of("fm_ot", "fid", 7.0, s) for s in (0, 1, 2)),
    *(of("fm_ot", "train_seconds", 7200.0, s) for s in (0, 1, 2)),
    of("rnode", "fid", 50.0),
]


def test_table_1_has_the_papers_methods_in_its_order_and_then_others() -> None:
    grid = made(ROWS)[0]["Table 1 of Lipman et al. 2023"]
    names = [row.baseline for row in grid.rows]
    assert names == ["ddpm", "score_matching", "scoreflow", "fm_diffusion", "fm_ot", "rnode"]


def test_a_paper_that_prints_nothing_of_the_data_leaves_it_to_one_that_does() -> None:
    more = {"dataset": "sf2m_moons", "variant": "sf2m_moons-icfm-0a1b2c", "n": 10000, "settings": EULER}
    rows = [{**of("icfm", "w2", 0.2, s), **more} for s in (0, 1)]
    assert list(made(rows)[0]) == ["Table 2 of Tong et al. 2024"]
    rows = [{**row, "dataset": "moons"} for row in rows]
    assert list(made(rows)[0]) == ["Table 1 of Lipman et al. 2023"]


def test_published_measured_and_difference_stand_side_by_side() -> None:
    found = line(made(ROWS)[0]["Table 1 of Lipman et al. 2023"], "FM w/ OT")
    # Lipman et al. 2023, table 1: NLL 2.99, FID 6.35, NFE 142.
    assert (found["Bits/dim published"], found["Bits/dim"], found["Bits/dim difference"]) == (
        "2.99",
        "3.01 ± 0.02",
        "+0.02",
    )
    assert (found["FID published"], found["FID"]) == ("6.35", "7 ± 0")
    assert found["Sampling NFE published"] == "142" and found["Training [h]"] == "2 ± 0"


def test_what_was_not_run_is_a_hole_beside_its_published_number() -> None:
    grid = made(ROWS)[0]["Table 1 of Lipman et al. 2023"]
    found = line(grid, "DDPM")
    assert (found["FID published"], found["FID"]) == ("7.48", "–")
    row = next(row for row in grid.rows if row.baseline == "ddpm")
    assert "not run" in {entry.title for entry in row.entries}


def test_bits_of_another_k_have_no_difference() -> None:
    rows = [of("fm_ot", "nll_bpd", 3.2, settings={**BPD, "draws": 5})]
    found = line(made(rows)[0]["Table 1 of Lipman et al. 2023"], "FM w/ OT")
    assert found["Bits/dim published"] == "2.99" and "Bits/dim difference" not in found


@pytest.mark.slow
def test_an_fid_is_compared_under_the_papers_protocol_alone() -> None:
    assert "FID difference" not in heads(made(ROWS)[0]["Table 1 of Lipman et al. 2023"])
    grids, tidy = made([{**row, "protocol": "paper"} for row in ROWS])
    assert line(grids["Table 1 of Lipman et al. 2023"], "FM w/ OT")["FID difference"] == "+0.65"
    assert tidy.difference[(tidy.method == "fm_ot") & (tidy.metric == "fid")].iloc[0] == pytest.approx(0.65)


def test_table_4_is_bits_by_draws() -> None:
    found = line(made(ROWS)[0]["Table 4 of Lipman et al. 2023"], "FM w/ OT")
    assert found["Bits/dim, K = 1 published"] == "3.11" and found["Bits/dim, K = 1 difference"] == "+0.09"
    assert found["Bits/dim, K = 50 published"] == "2.99" and found["Bits/dim, K = 50 difference"] == "+0.02"


def test_a_smoke_run_has_no_difference_and_says_what_it_is() -> None:
    grids, tidy = made([{**row, "protocol": "smoke"} for row in ROWS])
    assert tidy.difference.isna().all() and tidy.published.notna().any()
    assert "Smoke run, no result: no difference is taken." in grids["Table 1 of Lipman et al. 2023"].remarks


def test_table_2_is_super_resolution_with_the_reference_first() -> None:
    psnr = {**synthetic.ODE, "channels": "all", "data_range": 255}
    rows = [
        {**of("fm_ot", metric, value, settings=psnr), "dataset": "imagenet64_to_256",
         "variant": "imagenet64_to_256-fm_ot-0a1b2c"}
        for metric, value in (("psnr", 25.0), ("ssim", 0.75), ("fid", 3.0))
    ]  # fmt: skip
    grids, _ = made(rows)
    assert list(grids) == ["Table 2 of Lipman et al. 2023"]
    assert [row.baseline for row in grids["Table 2 of Lipman et al. 2023"].rows] == [
        "reference",
        "regression",
        "sr3",
        "fm_ot",
    ]
    assert line(grids["Table 2 of Lipman et al. 2023"], "FM w/ OT")["PSNR [dB] difference"] == "+0.3"


def test_every_cell_leads_to_its_runs() -> None:
    grids, tidy = made(ROWS)
    runs = tuple(f"cifar10-fm_ot-0a1b2c-s{s}" for s in range(3))
    row = next(row for row in grids["Table 1 of Lipman et al. 2023"].rows if row.baseline == "fm_ot")
    assert row.entries[heads(grids["Table 1 of Lipman et al. 2023"]).index("FID")].runs == runs
    cell = tidy[(tidy.table == "table1") & (tidy.method == "fm_ot") & (tidy.metric == "fid")].iloc[0]
    assert cell.run_ids == runs
    assert (cell["mean"], cell.n) == (7.0, 3)
    assert json_draws(tidy) == {1, 50}


def json_draws(tidy: pandas.DataFrame) -> set[int]:
    return {int(k) for k in tidy.draws[(tidy.table == "table4") & (tidy.method == "fm_ot")]}


def test_data_without_published_numbers_has_measured_ones_alone() -> None:
    rows = [{**row, "dataset": "digits", "variant": row["variant"].replace("cifar10", "digits")} for row in ROWS]
    grid = made(rows)[0]["Table 1 of Lipman et al. 2023"]
    assert not any("published" in header or "difference" in header for header in heads(grid))
    assert all(math.isnan(v) for v in made(rows)[1].published)


EULER = {"sampler": "euler", "solver": "euler", "steps": 100, "batch": 2000, "weights": "ema", "split": "test"}


def of_sf2m(baseline: str, metric: str, value: float, seed: int, **more: Any) -> dict[str, Any]:
    place = {"dataset": "sf2m_moons", "variant": f"sf2m_moons-{baseline}-0a1b2c", "n": 10_000, "settings": EULER}
    return {**of(baseline, metric, value, seed), **place, **more}


SF2M = [of_sf2m("icfm", m, v + 0.01 * s, s) for m, v in (("w2", 0.14), ("npe", 0.09)) for s in (0, 1, 2)]
SF2M += [of_sf2m("ddpm", "w2", 0.5, s) for s in (0, 1, 2)]
DRAWN = {"sf2m_moons-icfm-0a1b2c": {"baseline": {"name": "icfm", "options": {"coupling": "drawn"}}}}


def test_samples_of_one_evaluation_stand_beside_those_that_are_printed_of_it() -> None:
    once = {"sampler": "flow_map-1", "batch": 2000, "weights": "ema", "extractor": "inception", "split": "train"}
    rows = [{**of("fm_ot", "fid", 3.5, settings=once), "baseline": "meanflow", "variant": "cifar10-meanflow-0a1b2c"}]
    rows = [{**row, "label": "MeanFlow", "protocol": "paper"} for row in rows]
    grids, _ = made([*rows, of("ddpm", "fid", 9.0, protocol="paper")])
    found = line(grids["Table 3 of Geng et al. 2025, one evaluation"], "MeanFlow")
    assert (found["FID published"], found["FID"], found["FID difference"]) == ("2.92", "3.500", "+0.58")
    assert not any("Geng" in title for title in made([of("ddpm", "fid", 9.0)])[0])


def test_numbers_of_few_steps_are_beside_cifar10_alone() -> None:
    for dataset, expected in (("cifar10", 5), ("digits", 0)):
        row = {**of("fm_ot", "fid", 7.0), "dataset": dataset, "variant": f"{dataset}-fm_ot-0a1b2c"}
        titles = [grid.title for grid in related(sections(synthetic.frame(row)), published_numbers())]
        assert (
            sum("2022" in t or "MeanFlow" in t or "ECT" in t or "iCT" in t or "Rectified" in t for t in titles)
            == expected
        )


def test_a_second_paper_has_its_table_with_the_deviation_over_its_seeds() -> None:
    grids, tidy = made(SF2M, DRAWN)
    grid = grids["Table 2 of Tong et al. 2024"]
    assert [row.baseline for row in grid.rows][:3] == ["sf2m", "sf2m_i", "dsbm_ipf"]
    assert [row.baseline for row in grid.rows][-1] == "ddpm"
    found = line(grid, "OT-CFM")
    # Tong et al. 2024b, table 2: moons by OT-CFM, W2 .130 +- .016 and NPE .083 +- .009.
    assert found["W₂ published (mean ± std, 5 seeds)"] == "0.130 ± 0.016"
    assert found["W₂ (mean ± std)"] == "0.150 ± 0.010"
    # v = .016^2 / 5 and .01^2 / 3: nu = 5.90, t = 2.457, t sqrt(v1 + v2) = .0226.
    assert (found["W₂ difference (± joint 95%)"], found["W₂ verdict"]) == ("+0.020 ± 0.023", "within")
    assert (found["NPE published (mean ± std, 5 seeds)"], found["NPE verdict"]) == ("0.083 ± 0.009", "within")
    assert line(grid, "SF2M-Exact")["W₂ (mean ± std)"] == "–"
    cell = tidy[(tidy.paper == "tong2024_sf2m") & (tidy.method == "ot_cfm") & (tidy.metric == "w2")].iloc[0]
    assert (cell.published, cell.published_std, cell.published_n, cell.n) == (0.13, 0.016, 5, 3)
    assert (cell["mean"], cell["std"]) == (pytest.approx(0.15), pytest.approx(0.01))


def test_the_floor_has_a_row_and_marks_what_is_printed_at_it() -> None:
    floor = {"baseline": "icfm", "settings": {"split": "test", "floor_split": "test", "repeats": 2}, "stderr": 0.001}
    rows = [{**of_sf2m("icfm", "w2_floor", 0.126, s), **floor} for s in (0, 1, 2)]
    grids, _ = made([*SF2M, *rows], DRAWN)
    grid = grids["Table 2 of Tong et al. 2024"]
    assert (grid.rows[-1].baseline, grid.rows[-1].label) == ("", "Floor (as many data)")
    # One more set: t_{.975, 1} * .001 * sqrt(2) * sqrt(3 / 2) = .022.
    assert line(grid, "Floor (as many data)")["W₂ (mean ± std)"] == "0.13 ± 0.02"
    marked = {row.label for row in grid.rows if row.entries[0].text.endswith("≈")}
    assert marked == {"SF2M-Exact", "DSBM-IPF", "DSBM-IMF", "OT-CFM"}  # .124, .140, .144 and .130; SB-CFM .434
    assert any("cannot tell methods apart" in remark for remark in grid.remarks)


def test_what_is_not_judged_is_said_below_the_table() -> None:
    grid = made(SF2M, DRAWN)[0]["Table 2 of Tong et al. 2024"]
    assert "2 of 2 cells within the joint 95% interval; chance alone would leave out 0.1." in grid.remarks
    copied = "No verdict on DSBM-IPF, DSBM-IMF and DSB: not run, copied there from Shi et al. 2023."
    assert copied in grid.remarks
    assert line(grid, "DDPM")["W₂ verdict"] == ""


def test_variants_of_a_printed_method_are_called_by_what_the_first_has_otherwise() -> None:
    def config(coupling: str, lr: float) -> dict[str, Any]:
        return {"baseline": {"name": "icfm", "options": {"coupling": coupling}}, "training": {"lr": lr}}

    configs = {
        f"sf2m_moons-icfm-{i}": config(*of) for i, of in enumerate([("drawn", 1.0), ("drawn", 2.0), ("exact", 1.0)])
    }
    rows = [of_sf2m("icfm", "w2", 0.2, s, variant=variant) for variant in configs for s in (0, 1)]
    grids, tidy = made(rows, configs)
    names = ["lr = 2.0", "coupling = exact"]
    labels = [row.label for row in grids["Table 2 of Tong et al. 2024"].rows if row.label.startswith("OT-CFM")]
    assert labels == ["OT-CFM", *(f"OT-CFM, {name}" for name in names)]
    of = tidy[(tidy.method == "ot_cfm") & (tidy.metric == "w2")]
    assert of.other.tolist() == ["", *names] and of.itself.tolist() == ["coupling = drawn, lr = 1.0", "", ""]
    unknown = [row.label for row in made(rows)[0]["Table 2 of Tong et al. 2024"].rows if row.label.startswith("I-CFM")]
    assert unknown == ["I-CFM", *(f"I-CFM, icfm, settings not recorded {i}" for i in (2, 3))]


def test_an_option_that_is_not_the_papers_own_is_named_even_if_alone() -> None:
    exact = {"sf2m_moons-icfm-0a1b2c": {"baseline": {"name": "icfm", "options": {"coupling": "exact"}}}}
    grids, tidy = made(SF2M, exact)
    grid = grids["Table 2 of Tong et al. 2024"]
    assert line(grid, "OT-CFM, coupling = exact")["W₂ verdict"] == "within"
    assert set(tidy.other[(tidy.method == "ot_cfm") & (tidy.n > 0)]) == {"coupling = exact"}
    # Neither is a setting of the training, nor the default of an option.
    last = {"training": {"keep": "last"}, "baseline": {"name": "icfm", "options": {"coupling": "drawn"}}}
    grids, tidy = made(SF2M, {"sf2m_moons-icfm-0a1b2c": last})
    assert line(grids["Table 2 of Tong et al. 2024"], "OT-CFM, keep = last")["W₂ verdict"] == "within"
    rows = [{**row, "baseline": "sf2m", "variant": "sf2m_moons-sf2m-0a1b2c"} for row in SF2M[:6]]
    for options, name in (({}, ", default sigma"), ({"sigma": 0.1}, "")):
        of = {"sf2m_moons-sf2m-0a1b2c": {"baseline": {"name": "sf2m", "options": options}}}
        assert line(made(rows, of)[0]["Table 2 of Tong et al. 2024"], f"SF2M-Exact{name}")["NPE verdict"] != "–"
    # Beside another of its kind, too, which is named by what differs.
    other = {"sf2m_moons-icfm-1": {**exact["sf2m_moons-icfm-0a1b2c"], "training": {"lr": 2.0}}}
    alike = {"sf2m_moons-icfm-0a1b2c": {**exact["sf2m_moons-icfm-0a1b2c"], "training": {"lr": 1.0}}, **other}
    rows = [*SF2M, *({**row, "variant": "sf2m_moons-icfm-1"} for row in SF2M[:3])]
    labels = [row.label for row in made(rows, alike)[0]["Table 2 of Tong et al. 2024"].rows]
    assert [name for name in labels if name.startswith("OT-CFM")] == [
        "OT-CFM, coupling = exact",
        "OT-CFM, coupling = exact, lr = 2.0",
    ]


def test_a_table_says_what_of_it_is_in_doubt() -> None:
    grids, _ = made([*SF2M, *({**row, "n": 1000, "stage": "sweep"} for row in SF2M[:3])], DRAWN)
    for title in ("Table 2 of Tong et al. 2024", "Table 2 of Tong et al. 2024, W₂ of 1,000 points"):
        (said,) = (remark for remark in grids[title].remarks if "does not say of how many points" in remark)
        assert said.startswith("Printed:")


def test_w2_of_another_number_of_points_which_a_sweep_has_is_a_table_of_its_own() -> None:
    few = [{**row, "n": 1000, "value": 0.2, "stage": "sweep"} for row in SF2M[:3]]
    floor = {"metric": "w2_floor", "settings": {"split": "test", "floor_split": "train", "repeats": 5}, "stderr": 1e-3}
    grids, tidy = made([*SF2M, *few, *({**row, **floor, "value": 0.1} for row in few)], DRAWN)
    assert line(grids["Table 2 of Tong et al. 2024"], "OT-CFM")["W₂ (mean ± std)"] == "0.150 ± 0.010"
    grid = grids["Table 2 of Tong et al. 2024, W₂ of 1,000 points"]
    assert line(grid, "OT-CFM")["W₂ (mean ± std)"] == "0.200 ± 0.000" and "NPE" not in " ".join(heads(grid))
    assert not [row.label for row in grid.rows if row.label == "DDPM"]  # which has none of so many points
    assert line(grid, "Floor (as many data)")["W₂ (mean ± std)"].startswith("0.1")
    assert tidy[tidy.table == "table2"].title.nunique() == 2


@pytest.mark.parametrize("other", [{"n": 2000}, {"settings": {**EULER, "steps": 50}}, {"settings": synthetic.ODE}])
def test_samples_of_other_settings_have_no_place_in_it(other: dict[str, Any]) -> None:
    assert "Table 2 of Tong et al. 2024" not in made([{**row, **other} for row in SF2M])[0]
    rows = [*SF2M, *({**row, **other, "value": 99.0} for row in SF2M[:3])]
    assert line(made(rows, DRAWN)[0]["Table 2 of Tong et al. 2024"], "OT-CFM")["W₂ (mean ± std)"] == "0.150 ± 0.010"


def test_it_is_silent_of_data_of_the_same_name_that_is_scaled_otherwise() -> None:
    here = [{**row, "dataset": "moons", "variant": f"moons-{row['baseline']}-0a1b2c"} for row in SF2M]
    assert list(made(here)[0]) == ["Table 1 of Lipman et al. 2023"]
