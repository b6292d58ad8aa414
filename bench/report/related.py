"""Numbers of other sources than the papers' own tables, on the data of a report."""

import math
from collections.abc import Mapping, Sequence

from pandas import DataFrame

from bench.papers.paper import known
from bench.report import vocabulary
from bench.report.grid import Entry, Grid, Header, Row
from bench.report.sections import Section


def related(sections: Sequence[Section], published: DataFrame) -> list[Grid]:
    """Numbers of other sources, of other code and protocols, on the data of the sections: never in a column of ours."""
    grids = []
    for dataset in dict.fromkeys(section.dataset for section in sections):
        names = tuple(section.name for section in sections if section.dataset == dataset)
        for source, about, labels in [(*pair, paper.methods) for paper in known() for pair in paper.related.items()]:
            rows = published[(published.dataset == dataset) & (published.source == source)]
            if len(rows):
                metrics = sorted(rows.metric.unique(), key=vocabulary.order)
                headers = tuple(Header(vocabulary.metric(name).title) for name in metrics)
                notes = (f"Note: {note}." for note in dict.fromkeys(rows.note) if note)
                title, remarks = f"{dataset}: {about.citation}", (about.differs, *notes)
                lines = _related(rows, metrics, labels)
                grids.append(Grid(title, "quality", headers, lines, remarks, ("Method", "Settings"), names))
    return grids


def _related(rows: DataFrame, metrics: Sequence[str], labels: Mapping[str, str]) -> tuple[Row, ...]:
    """Methods by metrics; a method that is printed under several settings has a line for each."""
    lines = []
    for (method, settings), numbers in rows.groupby(["method", "settings"], sort=False):
        values = dict(zip(numbers.metric, numbers.value, strict=True))
        entries = tuple(Entry(value=values.get(name, math.nan), form="g") for name in metrics)
        lines.append(Row(str(method), labels.get(str(method), str(method)), str(settings), entries))
    return tuple(lines)
