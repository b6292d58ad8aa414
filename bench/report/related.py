"""Related published numbers on a section's data, in tables of their own: other code, other protocols, never a column of
ours.

Each table is one table of one source; what its authors did differently stands below it (results/published/sources.toml
and the settings and notes of the numbers).
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.report import vocabulary
from bench.report.cells import PAPER, PUBLISHED
from bench.report.grid import Entry, Grid, Row
from bench.report.sections import Section, each

if TYPE_CHECKING:
    from pandas import DataFrame


def related(sections: Sequence[Section], published: "DataFrame", folder: Path = PUBLISHED) -> list[Grid]:
    """Grids of every source that has numbers on the data of the sections, once a dataset."""
    sources = tomllib.loads((folder / "sources.toml").read_text(encoding="utf-8"))
    grids = []
    for dataset in dict.fromkeys(section.dataset for section in sections):
        rows = published[(published.dataset == dataset) & (published.source != PAPER)]
        for source, mine in rows.groupby("source", sort=False):
            about = sources[str(source)]
            names = tuple(section.name for section in sections if section.dataset == dataset)
            grids.append(_grid(f"{dataset}: {about['citation']}", about["differs"], mine, names))
    return grids


def _grid(title: str, differs: str, rows: "DataFrame", names: tuple[str, ...]) -> Grid:
    """Methods by metrics; a method that is printed under several settings has a line for each."""
    metrics = sorted(dict.fromkeys(rows.metric), key=vocabulary.order)
    lines = []
    for (method, settings), mine in rows.groupby(["method", "settings"], sort=False):
        values = dict(zip(mine.metric, mine.value, strict=True))
        entries = tuple(Entry(f"{values[name]:g}" if name in values else "") for name in metrics)
        lines.append(Row(str(method), str(method), str(settings), entries))
    notes = dict.fromkeys(row.note for row in each(rows) if row.note)
    headers = tuple(vocabulary.metric(name).title for name in metrics)
    remarks = (differs, *(f"Note: {note}." for note in notes))
    return Grid(title, "quality", headers, tuple(lines), remarks, ("Method", "Settings"), names)
