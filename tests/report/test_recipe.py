from typing import Any

import synthetic

from bench.config.registry import papers
from bench.papers.paper import published_numbers
from bench.report.recipe import recipes
from bench.report.related import related
from bench.report.sections import Section, sections

DDPM = {"variant": "cifar10-ddpm-0a1b2c", "baseline": "ddpm", "label": "DDPM"}


def parts(*datasets: str) -> list[Section]:
    rows = [{"dataset": d, "variant": f"{d}-fm_ot-0a1b2c"} for d in datasets]
    return sections(synthetic.frame(*rows))


def config(steps: int, **network: Any) -> dict[str, Any]:
    return {"network": {"name": "adm", "options": network}, "training": {"steps": steps, "batch": 256, "lr": 5e-4}}


def test_table_3_stands_beside_what_was_used() -> None:
    (section,) = sections(synthetic.frame({}, DDPM))
    configs = {
        "cifar10-fm_ot-0a1b2c": config(1000, channels=256, multiples=[1, 2, 2, 2]),
        "cifar10-ddpm-0a1b2c": config(2000, channels=256, multiples=[1, 2, 2, 2]),
    }
    (grid,), tidy = recipes(section, configs, ())
    found = {row.label: [entry.text for entry in row.entries] for row in grid.rows}
    assert [header.title for header in grid.headers] == ["Settings published", "Used here", "Difference"]
    assert found["steps"] == ["391,000", "1,000; DDPM 2,000", "differs"]
    assert found["channels"] == ["256", "256", "same"]
    assert found["multiples"] == ["1, 2, 2, 2", "1, 2, 2, 2", "same"]
    assert found["lr"] == ["0.0005", "0.0005", "same"]
    assert found["gpus"] == ["2", "–", ""]
    (steps,) = (row for row in tidy if row["metric"] == "steps" and row["method"] == "ddpm")
    assert (steps["published"], steps["mean"], steps["difference"]) == (391_000, 2000, 2000 - 391_000)
    assert steps["run_ids"] == ("cifar10-ddpm-0a1b2c-s0",)
    (sizes,) = (row for row in tidy if row["metric"] == "multiples" and row["method"] == "ddpm")
    assert sizes["published_settings"] == sizes["settings"] == "1, 2, 2, 2" and "published" not in sizes


def test_data_that_is_not_the_papers_has_no_published_column() -> None:
    (grid,), _ = recipes(*parts("moons"), {"moons-fm_ot-0a1b2c": config(1000, width=64)}, ())
    assert [header.title for header in grid.headers] == ["Used here"]
    assert {row.label for row in grid.rows} == {"width", "batch", "steps", "lr"}


def test_beside_another_papers_tables_it_has_no_place() -> None:
    lipman, tong = (papers[name] for name in ("lipman2023", "tong2024_sf2m"))
    for dataset, placed, n in (("sf2m_moons", [tong], 0), ("sf2m_moons", [tong, lipman], 1), ("cifar10", [tong], 1)):
        assert len(recipes(*parts(dataset), {f"{dataset}-fm_ot-0a1b2c": config(1000)}, placed)[0]) == n


def test_a_setting_that_is_none_of_the_papers_has_a_line_if_one_variant_has_it() -> None:
    settings = config(1000)
    settings["training"] = {"evaluations": 2_048_000, "warmup": 0, "warmup_share": 0.025, "clip_relative": 3.0}
    (grid,), _ = recipes(*parts("moons"), {"moons-fm_ot-0a1b2c": settings}, ())
    found = {row.label: row.entries[0].text for row in grid.rows}
    assert found == {"evaluations": "2,048,000", "warmup_share": "0.025", "clip_relative": "3"}


def test_related_numbers_have_tables_of_their_own_that_say_what_differs() -> None:
    grids = related(parts("mnist", "moons", "checkerboard"), published_numbers())
    titles = [grid.title for grid in grids]
    assert titles == [
        "mnist: Grathwohl et al., ICLR 2019 (FFJORD)",
        "mnist: Finlay et al., ICML 2020 (RNODE)",
        "moons: Tong et al., AISTATS 2024 (SF2M)",
    ]
    rnode = next(row for row in grids[1].rows if row.label == "RNODE")
    # Finlay et al., table 1: 0.973 bits/dim on MNIST in 24.37 hours.
    assert [entry.text for entry in rnode.entries] == ["0.973", "24.37"]
    assert all(grid.remarks and "differ" not in grid.title for grid in grids)
    assert "at the centres of the pixels' bins" in grids[1].remarks[0]


def test_every_related_source_is_cited() -> None:
    numbers = published_numbers()
    others = numbers[numbers.source != "lipman2023"]
    assert {grid.title for d in others.dataset.unique() for grid in related(parts(d), numbers)}
