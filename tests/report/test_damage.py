"""One odd field never ends a report: what cannot be told is named, and the rest is there."""

import math
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import synthetic

from bench.papers.claims import of_papers
from bench.report import build
from bench.report.artefacts import Artefacts
from bench.report.figure import draw
from bench.report.figures import Drawn
from bench.report.sections import Section

pytestmark = pytest.mark.slow
TEXTS = ("\ufffd", "", "$x^$ {0} %s <b>&", None)  # the first is what the reader makes of half a surrogate
NUMBERS = (-1, 0, 1e308, -math.inf, math.nan, 5e-324, None)
ODD: tuple[Any, ...] = ("text", 10**400, -1, [[1]])
COLUMNS = ("label", "dataset_version", "network", "error", "device", "commit", "reason", "metric")
SETTINGS = ("solver", "rtol", "steps", "nfe", "step", "train_seconds", "nfe_training", "curve", "draws", "batch")
DRAWN = ("label", "value", "nfe", "step")  # with its figures, which take half of the time


def rows(data: str) -> list[dict[str, Any]]:
    """Two methods with two seeds: all stages, a curve and a sweep."""
    place = {"curve": True, "step": 10, "train_seconds": 1.0, "nfe_training": 10.0}
    later = place | {"step": 20, "train_seconds": 2.0}
    swept = {"sampler": "euler", "solver": "euler", "steps": 4, "nfe": 4.0, "batch": 100}
    kinds: list[tuple[str, str, dict[str, Any], float]] = [
        ("train", "train_seconds", {}, 9.0),
        ("train", "w2", {**synthetic.ODE, **place}, 0.9),
        ("train", "w2", {**synthetic.ODE, **later}, 0.8),
        ("likelihood", "nll_nats", {**synthetic.LIKELIHOOD, "draws": 1}, 3.0),
        ("samples", "w2", synthetic.ODE, 0.5),
        ("samples", "sampling_seconds", synthetic.ODE, 0.1),
        ("sweep", "w2", swept, 0.7),
        ("sweep", "sampling_seconds", swept, 0.01),
    ]
    return [
        {"dataset": data, "baseline": b, "label": synthetic.LABELS[b], "seed": seed, "stage": stage, "metric": metric,
         "settings": settings, "value": value + 0.1 * seed, "variant": f"{data}-{b}-0a1b2c", "network": "mlp"}
        for b in ("fm_ot", "ddpm") for seed in range(2) for stage, metric, settings, value in kinds
    ]  # fmt: skip


def drawn(root: Path, sections: list[Section]) -> Iterator[Drawn]:
    """Figures that are made and not saved, which would take most of the time."""
    for section in sections:
        complaints: list[str] = []
        list(draw(section, Artefacts(root), complaints))
        yield Drawn([], complaints)


def not_drawn(_: Path, sections: list[Section]) -> list[Drawn]:
    return [Drawn([], []) for _ in sections]


def page_of(given: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figures: bool = True) -> str:
    monkeypatch.setattr(build, "figures", drawn if figures else not_drawn)
    with warnings.catch_warnings(action="error"):
        written = build.write(tmp_path, "about", synthetic.frame(*given), {}, of_papers(), [])
    return written[0].read_text(encoding="utf-8")


def test_what_is_sound_has_no_complaint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    html = page_of(rows("rings"), tmp_path, monkeypatch)
    assert "Not readable or not drawn" not in html and "rings: quality" in html


def spoilt(values: tuple[Any, ...], change: Callable[[dict[str, Any], Any], dict[str, Any]]) -> list[dict[str, Any]]:
    """A sound dataset, and for each value one whose first seed of the first method is changed."""
    made = rows("rings")
    for i, value in enumerate(values):
        given = rows(f"odd{i}")
        made += [change(row, value) for row in given[:8]] + given[8:]
    return made


def check(html: str, odd: int) -> None:
    """Every odd dataset is there, or named as not readable, and nothing is lost that is of the sound one or of all."""
    assert all(f"odd{i}" in html for i in range(odd)) and "rings: quality" in html
    complaints = re.findall(r"<li>(.*?)</li>", html.partition("Not readable or not drawn")[2].partition("</ul>")[0])
    assert [one for one in complaints if not re.search(r"odd\d", one)] == []


@pytest.mark.parametrize("column", COLUMNS)
def test_a_report_is_built_whatever_a_text_says(column: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = TEXTS[:-1] if column == "metric" else TEXTS
    given = spoilt(odd, lambda row, text: {**row, column: text})
    check(page_of(given, tmp_path, monkeypatch, figures=column in DRAWN), len(odd))


@pytest.mark.parametrize("column", ["value", "n", "parameters", "steps", "device_count", "global_batch"])
def test_a_report_is_built_whatever_a_number_is(column: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = spoilt(NUMBERS, lambda row, odd: {**row, column: odd})
    check(page_of(given, tmp_path, monkeypatch, figures=column in DRAWN), len(NUMBERS))


@pytest.mark.parametrize("key", SETTINGS)
def test_a_report_is_built_whatever_a_setting_is(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(row: dict[str, Any], odd: Any) -> dict[str, Any]:
        return {**row, "settings": {**row["settings"], key: odd}}

    check(page_of(spoilt(ODD, changed), tmp_path, monkeypatch, figures=key in DRAWN), len(ODD))
