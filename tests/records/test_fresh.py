"""A report is made again for whatever it would say otherwise."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from bench.config import registry
from bench.papers import paper
from bench.papers.paper import register_paper
from bench.records import fresh

PAPER = 'title = "T"\ncitation = "C"\nnumbers = ["n.csv"]\n'
NUMBERS = "source,table,dataset,method,metric,value\nmine,1,moons,fm,w2,"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results whose report is of today."""
    monkeypatch.setattr(registry, "loaded", {})
    monkeypatch.setattr(fresh, "loaded", registry.loaded)
    registry.papers.load()
    monkeypatch.setattr(registry.papers, "_entries", dict(registry.papers.so_far()))
    for name, content in (("n.csv", NUMBERS + "0.1\n"), ("paper.toml", PAPER)):
        path = tmp_path / "mine2030" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
    root = tmp_path / "results"
    root.mkdir()
    (root / "report.html").touch()
    fresh.mark(root, fresh.made_of(root))
    assert fresh.is_fresh(root)
    return root


def test_a_figure_of_a_plugin(root: Path, tmp_path: Path) -> None:
    (tmp_path / "figure.py").write_text("A = 1\n", encoding="utf-8")
    registry.load_plugin(str(tmp_path / "figure.py"))
    assert not fresh.is_fresh(root)
    fresh.mark(root, fresh.made_of(root))
    assert fresh.is_fresh(root)
    (tmp_path / "figure.py").write_text("A = 2\n", encoding="utf-8")
    assert not fresh.is_fresh(root)


def test_a_module_that_a_plugin_imports(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    helper, figure = tmp_path / "helper_of_a_figure.py", tmp_path / "figure_with_a_helper.py"
    helper.write_text("def width():\n    return 1\n", encoding="utf-8")
    figure.write_text("import helper_of_a_figure\n\nW = helper_of_a_figure.width()\n", encoding="utf-8")
    registry.load_plugin(str(figure))
    fresh.mark(root, fresh.made_of(root))
    helper.write_text("def width():  # in inches\n    return 1\n", encoding="utf-8")
    assert fresh.is_fresh(root)
    helper.write_text("def width():\n    return 22\n", encoding="utf-8")
    assert not fresh.is_fresh(root)


def test_a_figure_of_an_installed_package(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    installed = tmp_path / "installed_figure.py"
    installed.write_text("A = 1\n", encoding="utf-8")
    names = ["installed_figure", "broken_package.figure"]
    points = {"bench.figures": [EntryPoint(name, name, "bench.figures") for name in names]}
    monkeypatch.setattr(fresh, "entry_points", lambda group: points.get(group, []))
    assert not fresh.is_fresh(root)
    fresh.mark(root, fresh.made_of(root))
    assert fresh.is_fresh(root)
    installed.write_text("A = 22\n", encoding="utf-8")
    assert not fresh.is_fresh(root)


def test_a_plugin_that_is_a_module(root: Path) -> None:
    registry.load_plugin("colorsys")
    assert not fresh.is_fresh(root)


def test_a_paper_and_its_numbers(root: Path, tmp_path: Path) -> None:
    register_paper(tmp_path / "mine2030")
    assert not fresh.is_fresh(root)
    fresh.mark(root, fresh.made_of(root))
    (tmp_path / "mine2030" / "n.csv").write_text(NUMBERS + "0.2\n", encoding="utf-8")
    assert not fresh.is_fresh(root)


def test_published_numbers(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "others.csv").write_text(NUMBERS + "0.3\n", encoding="utf-8")
    assert paper.PUBLISHED.is_dir()
    monkeypatch.setattr(fresh, "PUBLISHED", tmp_path)
    assert not fresh.is_fresh(root)


def test_a_record(root: Path) -> None:
    (root / "runs" / "a").mkdir(parents=True)
    (root / "runs" / "a" / "train.json").touch()
    assert not fresh.is_fresh(root)
