"""The page as its readers meet it: by mouse, keyboard and address, on a phone, on paper, without its script."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import standins

from bench.report.verdicts import CAVEATS

CHROMIUM = Path("/usr/bin/chromium")
playwright = pytest.importorskip("playwright.sync_api", reason="needs the PyPI package playwright")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs a browser at {CHROMIUM}"),
]
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(root: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(standins.html(root), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page on a desk, which in no test asks for anything or complains."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(5000)
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    yield page
    assert said == []
    assert {url.split("#")[0] for url in asked if not url.startswith("data:")} == {address}
    context.close()


def column(page: Any, table: str, place: int) -> list[str]:
    """The texts of a column, as far as they are seen."""
    return [row.locator("th, td").nth(place).inner_text() for row in page.locator(f"{table} tbody tr:visible").all()]


def focused(page: Any) -> Any:
    return page.evaluate("document.activeElement.textContent.trim()")


def where(page: Any) -> str:
    """The address with its fragment, which page.url learns a moment later."""
    return page.evaluate("location.href")


QUALITY = "#results figure:nth-of-type(1) table"


def test_the_overview_is_seen_before_anything_else_and_the_verdicts_after_it(page: Any) -> None:
    box = page.locator("#overview table").bounding_box()
    assert box["y"] + box["height"] < 900
    words = page.locator("#verdicts > ol > li > .judgement strong").all_inner_texts()
    assert words == ["Supported", "Contradicted", "Undecided"]
    first = page.locator("#verdicts h3").first
    assert first.inner_text() == "FM w/ OT has the lowest NLL of the five"
    assert box["y"] < first.bounding_box()["y"] < page.locator("#results").bounding_box()["y"]
    assert page.get_by_text(CAVEATS["small"]).first.is_visible()
    assert not page.locator(".effects").first.is_visible()
    page.locator(".evidence summary").first.click()
    assert page.locator(".effects .interval").first.is_visible()


def test_headers_sort_holes_after_numbers_and_the_floor_last(page: Any) -> None:
    table = page.locator(QUALITY).first
    header = table.locator("thead th").nth(3)
    before = column(page, QUALITY, 0)

    def shown() -> list[float]:
        cells = table.locator("tbody tr:not(.floor) td:nth-child(4)")
        return [float(text) for text in cells.evaluate_all("cells => cells.map(c => c.dataset.value ?? 'nan')")]

    values = sorted(value for value in shown() if value == value)
    assert len(values) == 8
    for order, expected in (("ascending", values), ("descending", values[::-1])):
        header.locator("button").press("Enter")
        assert header.get_attribute("aria-sort") == order
        assert [value for value in shown() if value == value] == expected
        assert column(page, QUALITY, 0)[-1].startswith("Floor")
    header.locator("button").click()
    assert header.get_attribute("aria-sort") is None
    assert column(page, QUALITY, 0) == before

    digits = page.locator("#results figure", has_text="digits: quality (").locator("table")
    digits.locator("thead th").nth(3).locator("button").click()
    for _ in ("ascending", "descending"):
        cells = digits.locator("tbody tr:not(.floor) td:nth-child(4)")
        holes = cells.evaluate_all("cells => cells.map(c => c.dataset.value === undefined)")
        assert holes == sorted(holes) and any(holes) and not all(holes)
        digits.locator("thead th").nth(3).locator("button").click()


def test_the_filter_hides_says_so_and_is_the_address(page: Any, address: str) -> None:
    assert page.locator("#filter form legend").all_text_contents() == ["Dataset", "Baseline"]  # one protocol: no choice
    page.locator("#filter summary").click()
    page.get_by_role("checkbox", name="digits").check()
    assert where(page) == f"{address}#dataset=digits"
    for name, seen in (("checkerboard: quality (", False), ("digits: quality (", True)):
        assert page.locator("figcaption", has_text=name).is_visible() == seen
    assert page.locator("a.enlarge:visible").count() == 2
    assert page.locator("#verdicts > ol > li:visible").count() == 3
    state = page.get_by_role("status").inner_text()
    hidden = "3 comparisons, 3 tables, 2 figures"
    assert state == f"Only digits. Hidden: {hidden}. Verdicts on the whole suite stay."
    page.get_by_role("checkbox", name="FM w/ OT").check()
    page.get_by_role("checkbox", name="DDPM").check()
    assert where(page) == f"{address}#dataset=digits&baseline=fm_ot,ddpm"
    rows = page.locator("figure", has_text="digits: quality (").first.locator("tbody tr:visible th").all_inner_texts()
    assert set(rows) == {"FM w/ OT", "DDPM"}
    assert "12 rows" in page.get_by_role("status").inner_text()  # two in each of three tables, six of the overview
    page.get_by_role("button", name="Show all").click()
    assert where(page) == address and page.locator("a.enlarge:visible").count() == 4


def test_one_baseline_shows_its_comparisons_and_two_theirs(page: Any, address: str) -> None:
    def compared(fragment: str) -> list[str]:
        page.goto(f"{address}#{fragment}")
        page.locator("#verdict-1 details").evaluate("details => { details.open = true; }")
        return page.locator("#verdict-1 tbody tr:not(.part):visible th").all_inner_texts()

    ddpm, diffusion = "FM w/ OT against DDPM", "FM w/ OT against FM w/ Diffusion"
    assert compared("baseline=fm_ot") == [ddpm, diffusion, ddpm]
    assert compared("baseline=fm_ot,ddpm&dataset=checkerboard") == [ddpm]
    assert compared("baseline=ffjord") == []
    assert compared("baseline=nobody") == [ddpm, diffusion, ddpm]


def test_a_number_leads_to_its_runs_even_past_a_filter(page: Any, address: str) -> None:
    page.locator("a.number").first.click()
    runs = page.locator("#runs-checkerboard-fm_ot-3f2a9c")
    assert runs.evaluate("details => details.open")
    assert runs.locator("a").first.get_attribute("href") == "runs/checkerboard-fm_ot-3f2a9c-s0/"
    page.goto(f"{address}#dataset=digits")
    assert not runs.is_visible()
    page.goto(f"{address}#runs-checkerboard-fm_ot-3f2a9c")
    assert runs.is_visible()


def test_figures_enlarge_step_and_give_the_focus_back(page: Any) -> None:
    dialog, figures = page.locator("dialog"), page.locator("a.enlarge")
    figures.first.focus()
    page.keyboard.press("Enter")
    assert dialog.is_visible() and dialog.locator("img").get_attribute("alt") == "Statement 0"
    assert dialog.locator(".reading").inner_text() == "Reading 0."
    page.keyboard.press("Escape")
    assert not dialog.is_visible() and figures.first.evaluate("figure => figure === document.activeElement")
    figures.first.click()
    page.keyboard.press("ArrowRight")
    assert dialog.locator("img").get_attribute("alt") == "Statement 1"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert dialog.locator("img").get_attribute("alt") == "Statement 3"
    dialog.get_by_role("button", name="Close").click()
    assert figures.nth(3).evaluate("figure => figure === document.activeElement")


def test_the_keyboard_reaches_everything_and_shows_where_it_is(page: Any) -> None:
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the overview, verdicts and tables"
    skip = page.locator(".skip")
    assert skip.bounding_box()["y"] >= 0
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert focused(page).startswith("Method")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.locator("#filter summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert where(page).endswith("#dataset=checkerboard")
    page.keyboard.press("Escape")
    assert not page.locator("#filter form").is_visible() and focused(page).startswith("Filter")


def test_nothing_scrolls_sideways_on_a_phone_but_tables(page: Any) -> None:
    page.set_viewport_size(PHONE)
    page.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    wide = page.locator("#results .scroll").first
    assert wide.evaluate("scroll => scroll.scrollWidth > scroll.clientWidth")
    form = page.locator("#filter form").bounding_box()
    assert form["x"] >= 0 and form["x"] + form["width"] <= PHONE["width"]


def test_paper_shows_the_evidence_and_no_controls(page: Any) -> None:
    page.emulate_media(media="print")
    for control in (".bar", ".skip"):
        assert not page.locator(control).is_visible()
    assert page.locator("#verdict-1 .interval").first.is_visible()
    assert page.locator("#results table").first.is_visible()
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")


@pytest.fixture(scope="module")
def large(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same page as one that is large."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.report.page.WHOLE", 0)
        path = tmp_path_factory.mktemp("large") / "report.html"
        path.write_text(standins.html(root), encoding="utf-8")
        yield path.as_uri()


def test_a_large_page_reads_and_decodes_a_part_only_once_it_is_opened(browser: Any, large: str) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(large)
    assert page.locator("#overview table").is_visible() and page.locator("#verdict-1 h3").is_visible()
    assert page.locator("img[src^='data:image']").count() == page.locator("#results table, .effects").count() == 0
    part = page.locator("#results-1")
    part.locator("> summary").click()
    part.locator("table").first.locator("thead button").first.click()  # sorts, as in any page
    assert part.locator("[aria-sort]").count() == 1
    page.locator("#part-figures-1 > summary").click()
    page.locator("#part-figures-1 a.enlarge").first.click()
    assert page.locator("dialog").is_visible()
    page.keyboard.press("Escape")
    page.locator("#verdict-1 .evidence summary").click()
    page.locator("#verdict-1 .effects").wait_for()
    assert page.locator("#verdict-2 .effects").count() == 0
    part.locator("a.number").first.click()  # leads into a part that was not open
    assert page.locator("#runs-checkerboard-fm_ot-3f2a9c").is_visible()
    page.locator("#filter summary").click()
    page.get_by_role("checkbox", name="digits").check()
    assert not part.is_visible()
    assert said == []
    context.close()


def test_a_large_page_without_its_script_has_its_overview_and_says_where_the_rest_is(browser: Any, large: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(large)
    assert page.locator("#overview table").is_visible()
    assert "beside this page" in page.locator("noscript").inner_text()
    context.close()


def test_page_is_whole_without_its_script(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False, viewport=PHONE)
    page = context.new_page()
    page.goto(address)
    assert page.locator("#verdicts > ol > li:visible").count() == 3
    assert not page.locator("#filter").is_visible() and not page.locator(".state").is_visible()
    assert not page.locator("dialog").is_visible()
    assert page.locator("a.enlarge").first.get_attribute("href") == "plots/checkerboard_a.png"
    page.locator(".evidence summary").first.click()
    assert page.locator("#verdict-1 .effects").is_visible()
    page.locator("a.number").first.click()
    assert where(page).endswith("#runs-checkerboard-fm_ot-3f2a9c")
    context.close()
