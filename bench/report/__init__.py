"""Reports: everything that is written about records is a pure function of their tidy frame and the arrays beside them.

    records.csv            the frame, one row a measurement
    table.{md,tex,csv}     the headline table
    paper.{md,tex,csv}     the paper's tables 1 to 4, published beside measured, and related published numbers
    claims.{md,tex,csv}    the verdict on every claim
    plots/*.{png,pdf}      the figures
    report.html            all of it on one self-contained page

Nothing here imports a trainer, a network or a baseline.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.report.pictures import Picture


def build(root: Path) -> list[Path]:
    """Write the report on the records under `root` into `root`; returns the files, report.html first.

    Every file is whole or as it was before. What cannot be read or drawn is named on the page.
    """
    import pandas

    from bench import claims, records
    from bench.files import write_bytes
    from bench.report.cells import headline, published_numbers
    from bench.report.claim_tables import claim_tables, tidy
    from bench.report.figures import figures
    from bench.report.latex import latex
    from bench.report.markdown import document, markdown
    from bench.report.page import page
    from bench.report.paper import paper_tables
    from bench.report.recipe import recipes
    from bench.report.related import related
    from bench.report.sections import each, sections, strays
    from bench.report.tables import table
    from bench.report.verdicts import verdicts

    frame, published, configs = records.frame(root), published_numbers(), records.configs(root)
    every = sections(frame, configs)
    cells = headline(every, published)
    tables = [table(part, cells) for part in every]
    parts = [part for part in every if part.current]
    declared, complaints = claims.declared(root)
    judged = verdicts(declared, parts, cells)
    grids, paper = paper_tables(parts, cells, published)
    settings, used = recipes(parts, configs)
    paper = pandas.concat([paper, pandas.DataFrame(used, columns=paper.columns)], ignore_index=True)
    grids += [*settings, *related(parts, published)]
    complaints += [f"{row.run_id}: {row.error}" for row in each(strays(frame))]
    pictures: list[Picture] = []
    for drawn in figures(root, parts, cells):
        pictures += drawn.pictures
        complaints += drawn.complaints
    judgements = claim_tables(judged)
    texts = {
        "report.html": page(_about(root), frame, tables, judged, grids, pictures, configs, complaints),
        "table.md": markdown(tables),
        "table.tex": latex((grid, table.notes) for table in tables for grid in table.grids),
        "table.csv": cells.to_csv(index=False),
        "paper.md": document("The paper's tables from these records", grids),
        "paper.tex": latex((grid, ()) for grid in grids),
        "paper.csv": paper.to_csv(index=False),
        "claims.md": document("Claims", judgements),
        "claims.tex": latex((grid, ()) for grid in judgements),
        "claims.csv": tidy(judged).to_csv(index=False),
        "records.csv": frame.to_csv(index=False),
    }
    for name, text in texts.items():
        write_bytes(root / name, text.encode())
    plots = [root / "plots" / f"{p.name}.{suffix}" for p in pictures for suffix in ("pdf", "png")]
    return [*(root / name for name in texts), *plots]


def _about(root: Path) -> str:
    """What the plan says of its suite; what is wrong with it is said by the frame."""
    from bench.seal import read_json

    try:
        return str(read_json(root / "plan.json").get("about", ""))
    except (OSError, ValueError):
        return ""
