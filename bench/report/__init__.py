"""Reports: everything that is written about records is a pure function of their tidy frame and the arrays beside them.

    records.csv            the frame, one row a measurement
    table.{md,tex,csv}     the headline table
    paper.{md,tex,csv}     the tables of papers, published beside measured, and related published numbers
    claims.{md,tex,csv}    the verdict on every claim
    plots/*.{png,pdf}      the figures
    report.html            all of it on one self-contained page

Nothing here imports a trainer, a network or a baseline.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

    from bench.papers.claims import Claim
    from bench.report.grid import Grid
    from bench.report.pictures import Picture
    from bench.report.tables import Table
    from bench.report.variants import Config


def build(root: Path) -> list[Path]:
    """Write the report on the records under `root` into `root`; returns the files, report.html first.

    Every file is whole or as it was before. What cannot be read, told or drawn is named on the page.
    """
    from bench.papers import claims
    from bench.records.frame import read_configs, read_frame
    from bench.records.planned import read_about

    declared, complaints = claims.declared(root)
    table = read_frame(root)
    complaints += table.attrs.get("left_out", [])
    return write(root, read_about(root), table, read_configs(root), declared, complaints)


def write(
    root: Path,
    about: str,
    frame: "DataFrame",
    configs: "Mapping[str, Config]",
    claims: "Iterable[Claim]",
    complaints: list[str],
) -> list[Path]:
    """Write the report on a frame into `root`.

    Args:
        about: what the suite says of itself.
        configs: the configuration of each variant, as a record's "config" has it.
        complaints: what could not be read.
    """
    import pandas

    from bench.errors import one_line
    from bench.papers.paper import published_numbers
    from bench.records.files import write_bytes
    from bench.report.cells import headline
    from bench.report.claim_tables import claim_tables, tidy
    from bench.report.extract import each
    from bench.report.figures import figures, overview_pictures
    from bench.report.filling import strays
    from bench.report.latex import latex
    from bench.report.markdown import document, markdown
    from bench.report.overview import overviews
    from bench.report.page import page
    from bench.report.published import COLUMNS, published_tables, related
    from bench.report.recipe import recipes
    from bench.report.sections import sections
    from bench.report.tables import table
    from bench.report.verdicts import verdicts

    published, complaints = published_numbers(), list(complaints)
    tables: list[Table] = []
    laid: list[Grid] = []
    used: list[Grid] = []
    rows: list[dict[str, Any]] = []
    for part in sections(frame, configs):
        try:
            made = table(part)
            papers = published_tables(part, published) if part.current else ([], [])
            complaints += part.left_out
            recipe = recipes([part] if part.current else [], configs)
        except Exception as error:  # hours of records are worth a report without one section
            complaints.append(f"tables of {part.name}: {one_line(error)}")
            continue
        tables.append(made)
        laid, used = laid + papers[0], used + recipe[0]
        rows += [*papers[1], *recipe[1]]
    cells = headline(made.section for made in tables)
    parts = [made.section for made in tables if made.section.current]
    judged = verdicts(claims, parts, complaints)
    grids = [*laid, *used, *related(parts, published)]
    complaints += [f"{row.run_id}: {row.error}" for row in each(strays(frame))]
    opening: list[Grid] = []
    pictures: list[Picture] = []
    try:
        compared = overviews(parts)
        opening = [one.grid() for one in compared]
        pictures = overview_pictures(root, compared)
    except Exception as error:
        complaints.append(f"overview: {one_line(error)}")
    for drawn in figures(root, parts, cells):
        pictures += drawn.pictures
        complaints += drawn.complaints
    judgements = claim_tables(judged)
    texts = {
        "report.html": page(about, frame, tables, judged, grids, pictures, configs, complaints, opening),
        "table.md": markdown(tables, opening),
        "table.tex": latex([*((g, ()) for g in opening), *((g, t.notes) for t in tables for g in t.grids)]),
        "table.csv": _csv(cells),
        "paper.md": document("The paper's tables from these records", grids),
        "paper.tex": latex((grid, ()) for grid in grids),
        "paper.csv": _csv(pandas.DataFrame(rows, columns=COLUMNS)),
        "claims.md": document("Claims", judgements),
        "claims.tex": latex((grid, ()) for grid in judgements),
        "claims.csv": _csv(tidy(judged)),
        "records.csv": _csv(frame),
    }
    for name, text in texts.items():
        write_bytes(root / name, text.encode("utf-8", "backslashreplace"))
    plots = [root / "plots" / f"{p.name}.{suffix}" for p in pictures for suffix in ("pdf", "png")]
    return [*(root / name for name in texts), *plots]


def _csv(frame: "DataFrame") -> str:
    """A frame as CSV, with spaces between the `run_ids` of a row."""
    if "run_ids" in frame:
        frame = frame.assign(run_ids=frame.run_ids.map(" ".join))
    return frame.to_csv(index=False)
