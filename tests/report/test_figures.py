"""Figures are drawn by processes that may be killed."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import synthetic

from bench.config import registry
from bench.errors import UsageError
from bench.report import figures
from bench.report.sections import Section, sections

pytestmark = pytest.mark.slow
DEADLY = """
import os, signal
from bench import register_figure

@register_figure("deadly", title="D")
def deadly(data):
    if data.section.name == "b":
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
    found = list(figures.figures(root, parts))
    return [([p.name for p in one.pictures], one.complaints) for one in found]


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Loads a plugin here and in the processes; its figures are forgotten at the end."""
    before = dict(registry.figures)

    def load(plugin: Path) -> None:
        registry.load_plugin(str(plugin))
        monkeypatch.setattr(figures, "loaded", {str(plugin): None})

    yield load
    registry.figures.restore(before)


@pytest.fixture(autouse=True)
def _two_processes(monkeypatch: pytest.MonkeyPatch, warm_interpreters: None) -> None:
    monkeypatch.setattr(figures.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(figures, "loaded", {})  # of other tests


ALL = [([f"{data}_cost_quality"], []) for data in "abcd"]


def test_processes_draw_side_by_side_in_the_order_of_the_sections(tmp_path: Path) -> None:
    assert drawn(tmp_path) == ALL
    assert len(list((tmp_path / "plots").iterdir())) == 8


def test_processes_draw_what_one_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    several = list(figures.figures(tmp_path / "several", parts := four("ab")))
    monkeypatch.setattr(figures.os, "cpu_count", lambda: 1)
    assert list(figures.figures(tmp_path / "one", parts)) == several
    files = [
        {path.name: path.read_bytes() for path in (tmp_path / to / "plots").iterdir()} for to in ("one", "several")
    ]
    assert len(files[0]) == 4 and files[0] == files[1]


def test_a_process_knows_the_plugins_of_the_one_that_it_draws_for(
    tmp_path: Path, plugged: Callable[[Path], None]
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text("from bench import register_figure\nregister_figure('mine', title='M')(lambda data: 1 / 0)\n")
    plugged(plugin)
    assert "ZeroDivisionError" in drawn(tmp_path)[3][1][0]


def test_a_killed_process_costs_its_figure_alone(tmp_path: Path, plugged: Callable[[Path], None]) -> None:
    """What its companions had not drawn when all of them were ended is drawn once more."""
    plugin = tmp_path / "deadly.py"
    plugin.write_text(DEADLY)
    plugged(plugin)
    lost = (ALL[1][0], ["figure deadly of b: the process that drew it was killed"])
    assert drawn(tmp_path / "results") == [ALL[0], lost, *ALL[2:]]


def test_a_plugin_that_was_edited_while_the_suite_ran_costs_its_own_figures(
    tmp_path: Path, plugged: Callable[[Path], None]
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(DEADLY)
    plugged(plugin)
    plugin.write_text("def")
    for data, (names, (missing, why)), (every, _) in zip("abcd", drawn(tmp_path / "results"), ALL, strict=True):
        assert names == every and missing.startswith(f"figure deadly of {data}: ")
        assert why.startswith(f"{plugin}: ") and f"--plugin {plugin}: SyntaxError" in why


def test_an_error_without_processes_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an installed package whose figures cannot be loaded."""
    monkeypatch.setattr(registry.figures, "_failure", UsageError("figures of mine: broken"))
    (found,) = figures.figures(tmp_path, four("a"))
    assert found == ([], ["figures of a: UsageError: figures of mine: broken"])


def test_what_no_process_takes_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "loaded", {sys._getframe(): None})  # nothing that can be pickled
    for data, (pictures, (complaint,)) in zip("abcd", drawn(tmp_path), strict=True):
        assert pictures == [] and complaint.startswith(f"figures of {data}: ") and "pickle" in complaint


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a:b", "a/b"])
def test_no_name_leads_out_of_the_results(name: str, tmp_path: Path) -> None:
    root = tmp_path / "a" / "b"
    parts = four([name])
    (one,) = figures.figures(root, parts)
    assert one.complaints == [] and len(one.pictures) == 1
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 2 and {path.parent for path in written} == {root / "plots"}
    assert not any(set(path.name) & set(":/") for path in written)
