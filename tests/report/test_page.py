import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import synthetic

from bench.report import page as page_module
from bench.report.cells import headline
from bench.report.sections import sections
from bench.report.tables import table


class Links(HTMLParser):
    """What a browser would load or follow, and whether tags are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.hrefs: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.loads += [value or "" for key, value in attrs if key in ("src", "srcset", "data", "poster", "action")]
        self.hrefs += [given["href"] or ""] if "href" in given else []
        self.ids += [given["id"] or ""] if "id" in given else []
        if tag not in ("meta", "img", "br", "link", "polygon"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "polygon":
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def html(built: Path) -> str:
    return (built / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def links(html: str) -> Links:
    parser = Links()
    parser.feed(html)
    assert parser.open == []
    return parser


def test_page_loads_nothing(html: str, links: Links) -> None:
    assert links.loads and all(load.startswith("data:image/") for load in links.loads)
    assert not {"script", "link", "iframe", "object"} & set(links.tags)
    assert "@import" not in html and not re.search(r"url\((?!['\"]?data:)", html)
    assert len(html) < 6_000_000


def test_links_stay_on_the_page_and_arrive(links: Links) -> None:
    assert all(href.startswith("#") for href in links.hrefs)
    assert {href[1:] for href in links.hrefs} <= set(links.ids)
    assert len(set(links.ids)) == len(links.ids)


def test_order_is_results_figures_meaning_provenance(html: str) -> None:
    places = [
        html.index(f'<section id="{name}"') for name in ("results", "figures-1", "figures-2", "meaning", "provenance")
    ]
    assert places == sorted(places)
    assert html.index("<table>") < html.index("<img")


def test_page_says_what_failed_and_on_what_it_ran(html: str) -> None:
    provenance = html[html.index('<section id="provenance"') :]
    assert (
        "checkerboard: ScoreFlow, seed 1: failed in train: the loss is nan at step 1850 | lr_1e-3 &amp; 5% warm-up"
        in provenance
    )
    assert synthetic.DEVICE in provenance
    assert "torch 2.15.0" in provenance and "0123456789" in provenance
    assert "24 of 28 runs complete" in html
    assert "rows compare with each other" in html


def test_every_figure_is_explained(html: str, links: Links) -> None:
    assert html.count("How to read it.") == len(links.loads) == 22


def test_what_users_write_is_text() -> None:
    evil = "<script>alert('x')</script>"
    frame = synthetic.frame(
        {"label": evil, "settings": {"sampler": evil, "rtol": 1}},
        {"seed": 1, "status": "failed", "error": evil, "metric": "", "value": math.nan},
    )
    tables = [table(section, headline(frame)) for section in sections(frame)]
    html = page_module.page(evil, frame, tables, [], [evil])
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 5


@pytest.mark.parametrize("share", [2, 8])
def test_pictures_shrink_to_meet_the_budget(built: Path, monkeypatch: pytest.MonkeyPatch, share: int) -> None:
    pngs = [path.read_bytes() for path in sorted((built / "plots").glob("*.png"))]
    full = sum(map(len, page_module._encoded(pngs)))
    monkeypatch.setattr(page_module, "BUDGET", full * 3 // 4 // share)
    assert sum(map(len, page_module._encoded(pngs))) < full / share


def test_page_without_records() -> None:
    html = page_module.page("", synthetic.frame(), [], [], [])
    assert "There are no records yet." in html
