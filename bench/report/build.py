"""A report written: all its files, each whole or as it was before, from the records under a folder."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pandas import DataFrame

from bench.config.choice import Choice
from bench.errors import one_line
from bench.papers.claims import Claim, declared
from bench.papers.paper import published_numbers
from bench.records.files import write_bytes
from bench.records.frame import read_choices, read_configs, read_frame
from bench.records.planned import read_about
from bench.report import by_method, equal_seconds, tuning, untuned
from bench.report.cells import headline
from bench.report.claim_tables import claim_tables, tidy
from bench.report.extract import each
from bench.report.figures import figures, suite_pictures
from bench.report.grid import Grid
from bench.report.latex import latex
from bench.report.markdown import document, markdown
from bench.report.overview import Overview, overview_drawings, overviews
from bench.report.page import page
from bench.report.pictures import OVERVIEW, PUBLISHED, SUITE, Picture
from bench.report.plots.printed import printed_drawings
from bench.report.plots.tuning import tuning_drawings
from bench.report.published import COLUMNS, printed_tables
from bench.report.published_table import published_grid
from bench.report.recipe import recipes
from bench.report.related import related
from bench.report.reproduced import in_short, reproductions
from bench.report.sections import sections, strays
from bench.report.summary import summaries
from bench.report.tables import Table, table
from bench.report.variants import Config
from bench.report.verdicts import verdicts


def build(root: Path) -> list[Path]:
    """Write the report on the records under `root`; returns the files, report.html first, which names all faults."""
    claims, complaints = declared(root)
    frame = read_frame(root)
    complaints += frame.attrs.get("left_out", [])
    return write(root, read_about(root), frame, read_configs(root), claims, complaints, read_choices(root))


def write(
    root: Path,
    about: str,
    frame: DataFrame,
    configs: Mapping[str, Config],
    claims: Iterable[Claim],
    complaints: Iterable[str],
    choices: Mapping[str, Choice] | None = None,
) -> list[Path]:
    """Write the report on a frame into `root`; `about` is what the suite says of itself."""
    published, complaints = published_numbers(), list(complaints)
    tables: list[Table] = []
    papers: list[Grid] = []
    settings: list[Grid] = []
    cells: list[Any] = []
    rows: list[dict[str, Any]] = []
    for section in sections(frame, configs, choices):
        with _spared(f"tables of {section.name}", complaints):
            made = table(section)
            grids = (*made.grids, *tuning.grids(section), *untuned.grids(section))
            made = replace(made, grids=grids, notes=(*made.notes, *untuned.notes(section)))
            left_out = [*section.left_out, *by_method.left_out(section)]
            if section.current:
                printed = printed_tables(section, published, configs)
                recipe, of_recipe = recipes(section, configs, [one.paper for one in printed])
                papers, settings = papers + list(map(published_grid, printed)), settings + recipe
                cells += [row for one in printed for row in one.cells.to_dict("records")]
                rows += of_recipe
            tables.append(made)
            complaints += left_out
    current = [made.section for made in tables if made.section.current]
    claims = list(claims)
    judged = untuned.with_untuned(claims, current, verdicts(claims, current, complaints), complaints)
    of_papers = DataFrame(cells, columns=COLUMNS)
    beside = [*reproductions(of_papers), *papers, *settings, *related(current, published)]
    complaints += [f"{row.run_id}: {row.error}" for row in each(strays(frame))]
    compared: list[Overview] = []
    pictures: list[Picture] = []
    with _spared("overview", complaints):
        compared = overviews(current)
        pictures = suite_pictures(root, overview_drawings(compared), OVERVIEW)
    with _spared("tuning", complaints):
        pictures += suite_pictures(root, tuning_drawings(current, configs), SUITE)
    with _spared("measured against printed", complaints):
        company = current[0].company if current else ()
        pictures += suite_pictures(root, printed_drawings(of_papers, company), PUBLISHED)
    opening = [one.grid() for one in compared]
    with _spared("summary", complaints):
        opening += summaries(current)
    for drawn in figures(root, current):
        pictures += drawn.pictures
        complaints += drawn.complaints
    judgements = claim_tables(judged)
    texts = {
        "report.html": page(
            about, frame, tables, judged, beside, pictures, configs, complaints, opening, in_short(of_papers)
        ),
        "table.md": markdown(tables, opening),
        "table.tex": latex([*((grid, ()) for grid in opening), *((g, t.notes) for t in tables for g in t.grids)]),
        "table.csv": _csv(headline(made.section for made in tables)),
        "equal_seconds.csv": _csv(equal_seconds.tidy(made.section for made in tables)),
        "tuning.csv": _csv(tuning.tidy(made.section for made in tables)),
        "paper.md": document("The paper's tables from these records", beside),
        "paper.tex": latex((grid, ()) for grid in beside),
        "paper.csv": _csv(DataFrame(cells + rows, columns=COLUMNS)),
        "claims.md": document("Claims", judgements),
        "claims.tex": latex((grid, ()) for grid in judgements),
        "claims.csv": _csv(tidy(judged)),
        "records.csv": _csv(frame),
    }
    for name, text in texts.items():
        write_bytes(root / name, text.encode("utf-8", "backslashreplace"))
    plots = [root / "plots" / f"{p.name}.{suffix}" for p in pictures for suffix in ("pdf", "png")]
    return [*(root / name for name in texts), *plots]


@contextmanager
def _spared(part: str, complaints: list[str]) -> Iterator[None]:
    """A part of the report whose failure is a complaint: hours of records are worth a report without it."""
    try:
        yield
    except Exception as error:
        complaints.append(f"{part}: {one_line(error)}")


def _csv(frame: DataFrame) -> str:
    """A frame as CSV, with spaces between the `run_ids` of a row."""
    if "run_ids" in frame:
        frame = frame.assign(run_ids=frame.run_ids.map(" ".join))
    return frame.to_csv(index=False)
