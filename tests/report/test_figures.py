"""Figures are drawn by processes that may be killed."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import synthetic

from bench.report import figures
from bench.report.cells import headline
from bench.report.sections import Section, sections

pytestmark = pytest.mark.slow
KILLED = "import os, signal, sys; os.kill(os.getpid(), signal.SIGKILL)"
KILLED_ONCE = """
import os, pathlib, signal, sys
marker = pathlib.Path(sys.argv[1]).parent.parent / "{name}"
if not marker.exists():
    marker.touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def four(names: Sequence[str] = "abcd") -> list[Section]:
    """Data sets of two methods, with one figure each."""
    rows = [
        {"dataset": data, "baseline": b, "label": synthetic.LABELS[b], "variant": f"{data}-{b}-0a1b2c", **row}
        for data in names
        for b in ("fm_ot", "ddpm")
        for row in (
            {"stage": "train", "metric": "train_seconds", "value": 10.0, "settings": {}},
            {"stage": "likelihood", "metric": "nll_nats", "value": 3.0, "settings": synthetic.LIKELIHOOD},
        )
    ]  # fmt: skip
    return sections(synthetic.frame(*rows))


def drawn(root: Path) -> list[tuple[list[str], list[str]]]:
    parts = four()
    found = list(figures.figures(root, parts, headline(parts)))
    return [([p.name for p in one.pictures], one.complaints) for one in found]


@pytest.fixture(autouse=True)
def _two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(figures, "loaded", {})  # of other tests


ALL = [([f"{data}_cost_quality"], []) for data in "abcd"]


def test_processes_draw_side_by_side_in_the_order_of_the_sections(tmp_path: Path) -> None:
    assert drawn(tmp_path) == ALL
    assert len(list((tmp_path / "plots").iterdir())) == 8


def test_a_process_knows_the_plugins_of_the_one_that_it_draws_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text("from bench import register_figure\nregister_figure('mine', title='M')(lambda data: 1 / 0)\n")
    monkeypatch.setattr(figures, "loaded", {str(plugin): None})
    assert "ZeroDivisionError" in drawn(tmp_path)[3][1][0]


def test_the_sections_of_a_killed_process_are_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    once = KILLED_ONCE.format(name=tmp_path.name)
    monkeypatch.setattr(figures, "CHILD", once + figures.CHILD)
    monkeypatch.setattr(figures.tempfile, "tempdir", str(tmp_path))
    assert drawn(tmp_path / "results") == ALL
    assert (tmp_path / tmp_path.name).exists()


def test_sections_that_kill_whoever_draws_them_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "CHILD", KILLED)
    assert drawn(tmp_path) == [
        ([], [f"figures of {data}: the process that drew them was killed by signal 9"]) for data in "abcd"
    ]


def test_an_error_of_a_process_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "CHILD", "raise SystemExit('no more memory')")
    assert drawn(tmp_path)[0][1] == ["figures of a: the process that drew them ended with code 1: no more memory"]


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a:b", "a/b"])
def test_no_name_leads_out_of_the_results(name: str, tmp_path: Path) -> None:
    root = tmp_path / "a" / "b"
    parts = four([name])
    (one,) = figures.figures(root, parts, headline(parts))
    assert one.complaints == [] and len(one.pictures) == 1
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 2 and {path.parent for path in written} == {root / "plots"}
    assert not any(set(path.name) & set(":/") for path in written)
