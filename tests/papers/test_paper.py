"""A paper is a folder of data: the built-in ones, one of a plugin, and what is said of a bad one."""

import re
from pathlib import Path
from typing import Any

import pytest

from bench.config import registry
from bench.config.registry import load_plugin, papers
from bench.errors import UsageError
from bench.papers import claims
from bench.papers.claims import Claim, of_papers
from bench.papers.paper import known, order, published_numbers, register_paper

ROOT = Path(__file__).parents[2]
PAPERS = ROOT / "bench" / "papers"
SHARED = ["source", "table", "dataset", "method", "metric", "value"]
OURS = """
title = "Ours"
citation = "N., 2030"
numbers = ["ours.csv"]
headline = true
[methods]
ours = "Ours"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plugin's paper, not filed yet; what is filed is forgotten again."""
    papers.load()
    monkeypatch.setattr(papers, "_entries", dict(papers.so_far()))
    found = tmp_path / "aaa2030"
    found.mkdir()
    (found / "paper.toml").write_text(OURS)
    (found / "ours.csv").write_text(",".join(SHARED) + ",settings,note\naaa2030,table1,cifar10,ours,nfe,7,K=5,\n")
    (found / "claims.toml").write_text('[[claims]]\nid = "A1"\ntitle = "t"\nsubject = "ours"\nagainst = "fm_ot"\n')
    return found


def test_every_number_is_that_of_its_file() -> None:
    numbers = published_numbers()
    fid = numbers.query("source == 'lipman2023' and dataset == 'imagenet64' and metric == 'fid'")
    assert fid.set_index("method").value["fm_ot"] == 14.45
    assert "nfe" not in set(numbers.metric)  # the files' name for nfe_sampling
    assert not numbers.duplicated(["source", "table", "dataset", "method", "metric", "settings"]).any()
    w2 = numbers.query("paper == 'tong2024_sf2m' and method == 'ot_cfm' and dataset == '8gaussians' and metric == 'w2'")
    assert w2[["value", "std", "n_seeds"]].to_numpy().tolist() == [[0.303, 0.043, 5]]


@pytest.mark.parametrize(
    ("source", "method", "of", "fid"),
    [
        # Of the papers' tables and abstracts, and the README of ECT's and of flow_matching's authors.
        ("tong2024", "icfm", "dopri5", 3.659),
        ("tong2024", "ot_cfm", "dopri5", 3.577),
        ("flow_matching_readme", "fm_ot", "heun2 on 50", 2.07),
        ("karras2022_edm", "edm", "35 evaluations", 1.97),
        ("geng2025_ect", "ect", "1 evaluation;", 3.6),
        ("geng2025_ect", "ect", "2 evaluations;", 2.11),
        ("song2024_ict", "ict", "1 evaluation;", 2.83),
        ("song2024_ict", "ict", "2 evaluations;", 2.46),
        ("geng2025_meanflow", "meanflow", "1 evaluation;", 2.92),
        ("liu2023_rectified_flow", "reflow", "1 step of Euler", 12.21),
        ("song2023_consistency", "consistency", "2 evaluations;", 5.83),
    ],
)
def test_what_is_printed_of_few_steps_on_cifar10(source: str, method: str, of: str, fid: float) -> None:
    rows = published_numbers().query("dataset == 'cifar10' and metric == 'fid' and source == @source")
    (value,) = rows.value[(rows.method == method) & rows.settings.str.contains(of, regex=False)]
    assert value == fid


def test_the_draws_of_bits_per_dim_are_a_number() -> None:
    bits = published_numbers().query("source == 'lipman2023' and dataset == 'cifar10' and method == 'fm_ot'")
    assert bits.draws.dropna().tolist() == [50, 1, 20, 50]
    assert bits.draws[bits.metric == "fid"].isna().all()


def test_numbers_of_data_that_is_scaled_otherwise_are_not_beside_ours() -> None:
    numbers = published_numbers()
    assert set(numbers.source[numbers.beside]) == {"lipman2023"}


@pytest.mark.parametrize(
    ("baseline", "options", "method"),
    [
        ("sf2m", {}, "sf2m"),
        ("sf2m", {"coupling": "exact", "sigma": 2.0}, "sf2m"),
        ("sf2m", {"coupling": "independent"}, "sf2m_i"),
        ("sf2m", {"coupling": "sinkhorn"}, ""),  # no printed one
        ("icfm", {}, "icfm"),
        ("icfm", {"coupling": "drawn"}, "ot_cfm"),
        ("ot_cfm", {}, ""),  # of no noise, which the printed one has
        ("reflow", {"rounds": 2}, "reflow"),
        ("ddpm", {}, "ddpm"),
    ],
)
def test_options_say_which_printed_method_a_baseline_is(baseline: str, options: dict[str, Any], method: str) -> None:
    assert papers["tong2024_sf2m"].method(baseline, options) == method


def test_the_order_is_the_first_papers_and_then_that_of_others() -> None:
    names = order()
    assert names[:3] == ["fm_ot", "ot_cfm", "fm_diffusion"] and names.index("sf2m") > names.index("rnode")
    assert names.index("sr3") < names.index("meanflow") < names.index("consistency")
    assert len(set(names)) == len(names)


def test_a_plugin_files_a_folder_and_stands_behind_the_papers_that_come_with_the_project(folder: Path) -> None:
    plugin = folder.parent / "ours.py"
    plugin.write_text(f"from bench import register_paper\nregister_paper({str(folder)!r})\n")
    load_plugin(str(plugin))
    names = [paper.folder.name for paper in known()]
    assert names[0] == "lipman2023" and names[1:-1] == sorted(names[1:-1]) and names[-1] == "aaa2030"
    assert registry.papers["aaa2030"].about == "N., 2030: Ours"
    numbers = published_numbers().query("paper == 'aaa2030'")
    assert numbers[["metric", "value", "beside"]].to_numpy().tolist() == [["nfe_sampling", 7.0, True]]
    assert [claim.id for claim in of_papers() if claim.paper == "aaa2030"] == ["A1"]
    assert order()[-1] == "ours"


@pytest.mark.parametrize(
    ("line", "changed", "said"),
    [
        ("title =", "titel =", "unknown key 'titel'; known: "),
        ("ours.csv", "missing.csv", "no file 'missing.csv', neither beside paper.toml nor in "),
        ("[methods]", "[[tables]]\nname = 't'\n[methods]", "tables.0.title: Field required"),
        ("headline = true", "headline = 'often'", "headline = 'often': Input should be a valid boolean"),
        ("[methods]", "[methods", "paper.toml: "),
        (
            "[methods]",
            "[[equivalents]]\nmethod = 'our'\nbaseline = 'x'\n[methods]",
            "equivalents: unknown method 'our'; known: ours; did you mean 'ours'?",
        ),
    ],
)
def test_a_bad_paper_is_one_line(line: str, changed: str, said: str, folder: Path) -> None:
    (folder / "paper.toml").write_text(OURS.replace(line, changed))
    with pytest.raises(UsageError) as error:
        register_paper(folder)
    assert said in str(error.value) and "paper aaa2030" in str(error.value) and "\n" not in str(error.value)


def test_numbers_without_a_column_are_one_line(folder: Path) -> None:
    (folder / "ours.csv").write_text("source,table,dataset,method,value\n")
    with pytest.raises(UsageError, match=r"paper aaa2030: ours\.csv: no column 'metric'; needed: source, table, "):
        register_paper(folder)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("x,t1,moons,ours,w2,0.1 +- 0.02,", "value = '0.1 +- 0.02': Input should be a valid number"),
        ("x,t1,moons,ours,w2,nan,", "value = 'nan': Input should be a finite number"),
        ("x,t1,moons,ours,w2,,", "value: Field required"),
        ("x,t1,,ours,w2,0.1,", "dataset: Field required"),
        ("x,t1,moons,ours,w2,0.1,much", "std = 'much': Input should be a valid number"),
        ("x,t1,moons,ours,w2,0.1,0.2,5", "more values than the header has columns"),
    ],
)
def test_a_bad_number_is_one_line_with_file_line_and_column(row: str, said: str, folder: Path) -> None:
    good = "x,t1,moons,ours,w2,0.1,0.01"
    (folder / "ours.csv").write_text("\n".join([",".join([*SHARED, "std"]), good, row, good]))
    with pytest.raises(UsageError) as error:
        register_paper(folder)
    assert str(error.value).startswith(f"paper aaa2030: ours.csv, line 3: {said}") and "\n" not in str(error.value)


def test_a_file_that_is_no_text_and_an_unknown_column_are_one_line(folder: Path) -> None:
    (folder / "ours.csv").write_bytes(b"source,\xff\xfe")
    with pytest.raises(UsageError, match=r"paper aaa2030: ours\.csv: 'utf-8' codec can't decode"):
        register_paper(folder)
    (folder / "ours.csv").write_text(",".join(SHARED) + ",stdd\nx,t1,moons,ours,w2,0.1,0.2\n")
    with pytest.raises(UsageError, match=r"ours\.csv, line 2: unknown key 'stdd'.*did you mean 'std'"):
        register_paper(folder)


@pytest.mark.parametrize(("text", "said"), [("cifar10 = 3", "cifar10 = 3: expected a table"), ("[cifar10", "Expected")])
def test_a_bad_file_of_settings_is_one_line(text: str, said: str, folder: Path) -> None:
    recipe = '[recipe]\nname = "t3"\ntitle = "T"\nfile = "t3.toml"\nremark = ""\nsettings = {}\n'
    (folder / "paper.toml").write_text(OURS + recipe)
    (folder / "t3.toml").write_text(text)
    with pytest.raises(UsageError, match=rf"paper aaa2030: t3\.toml: {said}"):
        register_paper(folder)


def test_the_draws_may_be_a_column(folder: Path) -> None:
    (folder / "ours.csv").write_text(",".join(SHARED) + ",draws\nx,t1,cifar10,ours,nll_bpd,3,20\n")
    assert register_paper(folder).rows[0].draws == 20


@pytest.mark.parametrize("taken", ["A1", "C1", "T1"])
def test_an_id_is_that_of_one_claim(taken: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Claim(id="T1", title="t", subject="ours", against="fm_ot")
    monkeypatch.setattr(claims, "_registered", {"T1": mine})
    text = (folder / "claims.toml").read_text()
    (folder / "claims.toml").write_text(text + text.replace("A1", taken))
    before = of_papers()
    with pytest.raises(UsageError, match=rf"paper aaa2030: claims\.toml: .* has the id '{taken}' too; choose another"):
        register_paper(folder)
    assert of_papers() == before


def test_numbers_may_come_without_settings_and_notes(folder: Path) -> None:
    (folder / "ours.csv").write_text(",".join(SHARED) + "\naaa2030,table1,cifar10,ours,nll_bpd,3\n")
    register_paper(folder)
    (row,) = published_numbers().query("paper == 'aaa2030'").itertuples()
    assert (row.value, row.settings, row.note, row.draws) == (3.0, "", "", 1.0)


def test_a_folder_without_a_paper_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"paper\.toml: No such file or directory"):
        register_paper(tmp_path)


def test_two_papers_have_two_names(folder: Path) -> None:
    register_paper(folder)
    with pytest.raises(UsageError, match="paper 'aaa2030' is registered twice"):
        register_paper(folder)


def test_reports_know_no_paper_and_no_baseline_by_name() -> None:
    baselines = [path.stem for path in (ROOT / "baselines").glob("[a-z]*.py")]
    assert "fm_ot" in baselines
    named = re.compile(rf"\b(({'|'.join(baselines)})\b|lipman|tong)", re.IGNORECASE)
    read = [path for path in (ROOT / "bench" / "report").rglob("*") if path.suffix in (".py", ".j2", ".js", ".css")]
    assert {str(path) for path in read if named.search(path.read_text(encoding="utf-8"))} == set()


def test_a_package_adds_a_paper_by_an_entry_point(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        value = "theirs"

        @staticmethod
        def load() -> None:
            register_paper(folder)

    def points(group: str) -> list[Point]:
        return [Point()] if group == "bench.papers" else []

    monkeypatch.setattr("importlib.metadata.entry_points", points)
    fresh = registry.Registry[Any]("paper", "bench.papers")
    monkeypatch.setattr("bench.papers.paper.papers", fresh)
    assert list(fresh) == sorted(["aaa2030", *(path.parent.name for path in PAPERS.glob("*/paper.toml"))])
