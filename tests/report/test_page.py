import base64
import hashlib
import io
import math
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import standins
import synthetic
from PIL import Image

from bench.papers.claims import Claim
from bench.records.records import run_folder
from bench.report import pictures as pictures_module
from bench.report.grid import Entry
from bench.report.intervals import drawing
from bench.report.mean_effect import Effect
from bench.report.origins import NAMED, facts, variants
from bench.report.page import page
from bench.report.pictures import OVERVIEW, PUBLISHED, SUITE, Picture, embedded, palette
from bench.report.sections import sections
from bench.report.style import FIRST
from bench.report.tables import table
from bench.report.verdicts import Verdict

VOID = {"meta", "img", "br", "link", "input", "polygon", "line", "circle", "path", "rect"}


class Links(HTMLParser):
    """What a browser would load or follow, and whether tags are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.hrefs: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: found or "" for key, found in attrs}
        self.tags.append(tag)
        self.loads += [given[key] for key in ("src", "srcset", "data", "poster", "action") if key in given]
        if tag == "link":
            self.loads.append(given["href"])
        elif "href" in given:
            self.hrefs.append(given["href"])
        self.ids += [given["id"]] if "id" in given else []
        self.references += given.get("aria-labelledby", "").split()
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def read(html: str) -> Links:
    parser = Links()
    parser.feed(html)
    assert parser.open == []
    return parser


@pytest.fixture(scope="module")
def html(root: Path) -> str:
    return standins.html(root)


@pytest.fixture(scope="module")
def links(html: str) -> Links:
    return read(html)


@pytest.mark.slow
def test_page_loads_nothing(html: str, links: Links) -> None:
    assert links.loads and all(load.startswith("data:") for load in links.loads)
    assert not {"iframe", "object", "embed", "base"} & set(links.tags)
    assert "@import" not in html and not re.search(r"url\((?!['\"]?data:)", html)
    assert not re.search(r"https?://", html)


@pytest.mark.slow
def test_the_policy_admits_the_page_s_own_script_and_style_alone(html: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy and "default-src 'none'" in policy[1]
    for tag in ("script", "style"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in unescape(policy[1])
    assert not re.search(r"\s(style|on\w+)=", html[: html.index("<script>")])


@pytest.mark.slow
def test_ids_are_unique_and_links_arrive(links: Links) -> None:
    assert len(set(links.ids)) == len(links.ids)
    fragments = {unquote(href[1:]) for href in links.hrefs if href.startswith("#")}
    assert fragments | set(links.references) <= set(links.ids)
    others = {href for href in links.hrefs if not href.startswith("#")}
    runs = set(standins.run_ids("checkerboard", *synthetic.LABELS))
    assert {f"runs/{run}/" for run in runs} <= others
    assert all(re.fullmatch(r"runs/[^/]+/|plots/[^/]+\.(png|pdf)", href) for href in others)


def test_an_overview_comes_first_then_verdicts_tables_papers_figures_meaning_provenance(html: str) -> None:
    names = ("overview", "verdicts", "results", "published", "figures", "meaning", "provenance")
    places = [html.index(f'<section id="{name}"') for name in names]
    assert places == sorted(places)
    claims = [html.index(title) for title in ("lowest NLL of the five", "Fewest evaluations", "best FID of the five")]
    assert claims == sorted(claims) and claims[-1] < places[2]


def test_a_large_page_holds_its_parts_back_as_text(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.report.page.WHOLE", 0)
    large = standins.html(root)
    held = re.findall(r'<script type="text/plain">(.*?)</script>', large, re.DOTALL)
    shown = re.sub(r'<script type="text/plain">.*?</script>', "", large, flags=re.DOTALL)
    assert [part.count("<table") for part in held[2:4]] == [3, 3]  # of two datasets, after the evidence of two claims
    assert "data:image" in "".join(held) and "data:image" not in shown
    assert shown.count("<table") == 2  # the overview, and a table of all data
    names = ("overview", "verdicts", "results", "published", "figures", "meaning", "provenance")
    places = [shown.index(f'<section id="{name}"') for name in names]
    assert places == sorted(places)
    assert len(read(shown).ids) == len(set(read(shown).ids))


def test_the_overview_says_in_short_what_is_claimed_and_reproduced(root: Path) -> None:
    html = standins.html(root, reproduced=["Table 2: 5 of 8 cells."])
    overview = html[html.index('<section id="overview"') : html.index('<section id="verdicts"')]
    assert "1 supported, 1 contradicted, 1 undecided." in overview and "Table 2: 5 of 8 cells." in overview
    assert overview.index("<table") < overview.index("Table 2: 5 of 8")


def test_a_word_is_said_drawn_and_qualified(html: str) -> None:
    words = re.findall(r'<p class="judgement (\w+)">.*?<strong>(\w+)</strong>(.*?)</p>', html, re.DOTALL)
    heads = [(word, said, "caveat" in rest) for word, said, rest in words]
    assert ("supported", "Supported", True) in heads and ("undecided", "Undecided", False) in heads
    for word, shape in (
        ("supported", "<circle"),
        ("contradicted", "<rect"),
        ("tied", "<polygon"),
        ("undecided", "dasharray"),
    ):
        icons = re.findall(rf'<svg class="icon {word}[^>]*>(.*?)</svg>', html, re.DOTALL)
        assert icons and all(shape in icon for icon in icons)
    settled = re.findall(r'judgement \w+"><svg class="icon (\w+) settled"', html)
    assert settled == ["undecided"]  # the one without a caveat; the rest are drawn hollow
    tally = html[html.index('<ul class="tally">') : html.index('<ol class="verdicts">')]
    assert "settled" not in tally and "read with the caveats" in tally
    assert tally.count("Datasets share seeds.") == html.count("Datasets share seeds") == 1


def test_a_claim_on_the_suite_holds_its_datasets_and_words_are_counted(html: str) -> None:
    lines = html[html.index('<ol class="verdicts">') :].split('<li id="verdict-')[1:4]
    assert [re.findall(r'<span class="pinned">(.*?) <p', line.replace("\n", " ")) for line in lines] == [
        ["checkerboard", "digits"], ["checkerboard"], []
    ]  # fmt: skip
    tally = html[html.index('<ul class="tally">') : html.index('<ol class="verdicts">')]
    found = re.findall(r"<strong>(\d)</strong> (\w+)", tally)
    assert found == [("1", "supported"), ("1", "contradicted"), ("1", "undecided")]


@pytest.mark.parametrize(
    ("effect", "reach", "places"),
    [
        (standins.effect(-1, -2, 0), (-2.0, 2.0, 0.0), (53.0, 6.0, 100.0)),
        (standins.effect(2, 1, 4, scale="ratio"), (0.0, math.log(4), 1.0), (100.0, 6.0, 194.0)),
        (standins.effect(1, -math.inf, math.inf), (0.0, 1.0, 0.0), (194.0, 6.0, 194.0)),
    ],
)
def test_effects_are_drawn_to_scale(
    effect: Effect, reach: tuple[float, float, float], places: tuple[float, float, float]
) -> None:
    svg = drawing(effect, *reach)
    line = re.search(r'class="reach" x1="([\d.]+)" x2="([\d.]+)"', svg)
    mean = re.search(r'cx="([\d.]+)"', svg)
    assert line and mean
    assert (float(mean[1]), float(line[1]), float(line[2])) == places


def test_an_interval_that_meets_the_bound_looks_open() -> None:
    assert "interval clear" in drawing(standins.effect(1, 0.5, 2), 0, 2, bound=0)
    assert "interval open" in drawing(standins.effect(1, 0.5, 2), 0, 2, bound=0.7)
    assert "interval open" in drawing(standins.effect(1, -0.5, 2), -1, 2, bound=0)
    assert "interval open" in drawing(standins.effect(2, 0.5, 3, scale="ratio"), -1, 2, bound=1)
    one_pair = drawing(standins.effect(1, math.nan, math.nan), 0, 1, bound=0)
    assert "interval open" in one_pair and "reach" not in one_pair and "<circle" in one_pair


def test_numbers_lead_to_their_runs(html: str) -> None:
    assert re.search(r'data-value="3.7"[^>]*><a class="number" href="#runs-checkerboard-fm_ot-3f2a9c">', html)
    assert '<details class="origin" id="runs-checkerboard-fm_ot-3f2a9c"' in html


@pytest.mark.parametrize(
    ("entry", "parts"),
    [
        (Entry(value=3.82412, half_width=0.0133, n=3), ("3.824", "± 0.013")),
        (Entry(value=38.0, n=1), ("38", "(n=1)")),
        (Entry(value=-math.inf, n=3), ("−∞",)),
        (Entry("2 of 3", 2.0), ("2 of 3",)),
        (Entry(value=-0.04, form="+.2f"), ("−0.04",)),
        (
            Entry(value=3.2, half_width=0.13, tail="(2 of 3 seeds; 1 diverged)"),
            ("3.20", "± 0.13", "(2 of 3 seeds; 1 diverged)"),
        ),
        (Entry("failed"), ("failed",)),
        (Entry(), ("",)),
    ],
)
def test_an_entry_is_written_in_parts(entry: Entry, parts: tuple[str, ...]) -> None:
    assert entry.parts == parts and entry.text == " ".join(parts)


def test_cells_are_sorted_by_their_number(html: str) -> None:
    assert re.search(r'<td class="[^"]*" data-value="3.7">', html) and 'data-value=""' not in html
    assert not re.search(r'data-value="[^"]*"[^>]*>(failed|–|not run)', html)


def test_provenance_says_what_failed_on_what_it_ran_and_how(html: str) -> None:
    provenance = html[html.index('<section id="provenance"') :]
    told = "ScoreFlow, seed 1: failed in train: the loss is nan at step 1850 | lr_1e-3 &amp; 5% warm-up"
    assert f"checkerboard: {told}" in provenance
    assert synthetic.DEVICE in provenance
    assert "torch 2.15.0" in provenance and "0123456789" in provenance
    assert "<li>training.lr = 0.001</li>" in provenance and "<li>seed = " not in provenance
    assert "24 of 28 runs complete" in html
    assert "rows compare with each other" in html


def test_runs_tell_their_state_and_time() -> None:
    frame = synthetic.frame(
        {"stage": "train", "metric": "train_seconds", "value": 15.0},
        {"stage": "train", "metric": "train_seconds", "value": 90.0, "settings": {"curve": True, "step": 3}},
        {"stage": "samples", "status": "failed", "error": "underflow", "metric": "", "value": math.nan},
        {"stage": "sweep", "status": "missing", "error": "not run", "metric": "", "value": math.nan},
    )
    (found,) = variants(sections(frame)[0], {})
    assert [run[1:] for run in found["runs"]] == [("failed in samples: underflow; not run: sweep", "training 15 s")]
    assert (found["seconds"], found["time"]) == (15.0, "15 s")


def test_a_runs_link_leads_to_its_folder() -> None:
    frame = synthetic.frame({"variant": "a/b-fm_ot-0a1b2c", "settings": synthetic.ODE})
    parts = sections(frame)
    html = page("", frame, [table(part) for part in parts], [], [], [], {}, [])
    folder = run_folder(Path(), "a/b-fm_ot-0a1b2c-s0").name
    assert f'href="runs/{folder}/"' in html


def test_what_users_write_is_text() -> None:
    evil = "<script>alert('x')</script>\" onload='y'"
    frame = synthetic.frame(
        {"label": evil, "settings": {"sampler": evil, "rtol": 1}},
        {"seed": 1, "status": "failed", "error": evil, "metric": "", "value": math.nan},
    )
    tables = [table(section) for section in sections(frame)]
    effect = Effect(evil, evil, "difference", evil, 1, 0, 2)
    claim = Claim(id=evil, title=evil, source=evil, subject=evil, against=evil)
    verdict = Verdict(claim, "quick", evil, evil, "supported", evil, (effect,))
    config = {"cifar10-fm_ot-0a1b2c": {evil: evil}}
    picture = standins.pictures()[0]._replace(title=evil, reading=evil, dataset=evil)
    html = page(evil, frame, tables, [verdict], [standins.published()], [picture], config, [evil])
    assert html.count("<script") == 1 and "onload='" not in html
    assert html.count("&lt;script&gt;") >= 12
    read(html)


def test_variants_of_a_baseline_have_marks_of_their_own() -> None:
    rows = [
        {
            "label": label,
            "variant": f"rings-icfm-{i}",
            "baseline": "icfm",
            "seed": 0,
            "stage": "samples",
            "metric": "w2",
        }
        for i, label in enumerate(("I-CFM, coupling = drawn", "I-CFM, default coupling"))
    ]
    parts = sections(synthetic.frame(*rows))
    html = page("about", synthetic.frame(*rows), [table(part) for part in parts], [], [], [], {}, [])
    marks = re.findall(r'<th scope="row">(<svg.*?</svg>)I-CFM', html)
    assert len(marks) > 1 and len(set(marks)) == 2


def test_page_without_records() -> None:
    html = page("", synthetic.frame(), [], [], [], [], {}, [])
    assert "There are no records yet." in html
    assert read(html).loads == ["data:,"]


@pytest.mark.parametrize(
    ("datasets", "said"),
    [
        (["moons", "digits"], "1 baseline on moons and digits"),
        (list("abcdefgh"), "1 baseline on a, b, c, d, e, f, g and h"),
        ([f"d{i}" for i in range(NAMED + 1)], f"1 baseline on {NAMED + 1} datasets"),
    ],
)
def test_the_header_names_few_datasets_and_counts_many(datasets: list[str], said: str) -> None:
    frame = synthetic.frame(*({"dataset": name, "variant": f"{name}-fm_ot-0a1b2c"} for name in datasets))
    assert facts(sections(frame), frame)[1] == said


def test_figures_of_256_colours_keep_those_of_the_baselines() -> None:
    image = Image.new("RGB", (1500, 750), "white")
    colours = [tuple(int(look.colour[i : i + 2], 16) for i in (1, 3, 5)) for look in FIRST]
    for place, colour in enumerate(colours):
        image.paste(colour, (100 * place, 100, 100 * place + 80, 200))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    png = palette(buffer.getvalue())
    picture = Picture("a", "d", "", "", png)
    assert picture.size == (1500, 750)
    source = embedded([picture], 0)["a"]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))).convert("RGB"), int)
    assert abs(shown - np.asarray(image, int)).max() <= 2
    assert (shown[0, 0] == 255).all()


def test_the_largest_pictures_give_way_to_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    def saved(pixels: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG")
        return buffer.getvalue()

    cloud = saved(np.random.default_rng(0).integers(0, 255, (300, 600, 3)))
    plain = saved(np.full((300, 600, 3), 200))
    given = [Picture("plain", "moons", "", "", plain), Picture("cloud", "moons", "", "", cloud)]
    before = embedded(given, 0)
    assert before["cloud"].startswith("data:image/png")
    budget = len(before["cloud"]) // 2
    monkeypatch.setattr(pictures_module, "LARGEST", budget + 1000)
    monkeypatch.setattr(pictures_module, "LEAST", 0)
    after = embedded(given, 1000)
    assert after["plain"] == before["plain"] and after["cloud"].startswith("data:image/webp")
    assert sum(map(len, after.values())) < budget
    suite = [Picture(f"of {dataset}", dataset, "", "", cloud) for dataset in (OVERVIEW, PUBLISHED, SUITE)]
    beside = embedded([*given, *suite], 1000)
    assert all(beside[picture.name] == before["cloud"] for picture in suite)
    assert len(beside["cloud"]) < len(after["cloud"])  # softer by as much as those take


@pytest.mark.slow
def test_a_page_of_many_clouds_of_points_stays_below_three_megabytes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (300, 600, 3)).astype(np.uint8)).resize((1500, 750)).save(buffer, "PNG")
    png = palette(buffer.getvalue())
    many = [Picture(f"p{i}", "checkerboard", "s", "r.", png) for i in range(20)]
    assert sum(len(picture.png) for picture in many) > 10e6
    monkeypatch.setattr(standins, "pictures", lambda: many)
    html = standins.html(root)
    assert html.count("data:image/webp") == 20 and len(html.encode()) < 3e6
