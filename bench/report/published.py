"""The tables of papers in their own arrangement: what is published, what is measured, and the difference.

Which rows and columns a table has is the paper's to say (bench/papers/paper.py). Methods stand in its order, others
after them. A difference is taken only of like with like, and of nothing of a smoke run.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from pandas import DataFrame

from bench.papers.paper import REFERENCE, Paper, Table, known
from bench.report import vocabulary
from bench.report.comparable import FLOOR
from bench.report.extract import each
from bench.report.grid import ABSENT, Entry, Grid, Header, Row
from bench.report.sections import Section
from bench.report.tables import CAPTION, number

HOUR = 3600.0
Column = tuple[str, int | None]  # a metric, of K draws if K is part of what it is
MEASURED = ("mean", "half_width", "n", "lost", "lost_to", "settings", "run_ids", "hole")
COLUMNS = [
    *("paper", "table", "suite", "protocol", "dataset", "method", "label", "variant", "metric", "draws", "published"),
    *("published_std", "published_settings", "difference", *MEASURED),
]


@dataclass(frozen=True)
class Filled:
    """One table of a paper, filled from a section's cells and from what is printed of its data."""

    paper: Paper
    table: Table
    section: Section
    printed: DataFrame

    @cached_property
    def columns(self) -> dict[Column, list[dict[str, Any]]]:
        """Tidy cells, one per method, of all that the table names and that is measured or printed."""
        frame = self.section.frame
        names = [self.section.metric(name) for name in self.table.columns]
        columns: list[Column] = [
            (name, None) for name in names if name and name in {*frame.metric, *self.printed.metric}
        ]
        if self.table.by_draws:
            draws = sorted({s["draws"] for s in frame[frame.metric.isin(names)].parsed if "draws" in s})
            columns = [(name, k) for name, _ in columns for k in draws] if len(draws) > 1 else []
        return {column: self._cells(column) for column in columns}

    @cached_property
    def methods(self) -> list[tuple[str, str, str]]:
        """Name, label and variant of what was run, and of what is only printed."""
        baseline = self.section.frame.drop_duplicates("variant").set_index("variant").baseline
        found = [(str(baseline[variant]), label, variant) for variant, label in self.section.labels.items()]
        absent = [name for name in dict.fromkeys(self.printed.method) if name not in {name for name, _, _ in found}]
        labels = {REFERENCE: "Reference", **self.paper.methods}
        found += [(name, labels.get(name, name), FLOOR if name == REFERENCE else "") for name in absent]
        order = self.table.rows or tuple(self.paper.methods)
        return sorted(found, key=lambda method: order.index(method[0]) if method[0] in order else len(order))

    def _cells(self, column: Column) -> list[dict[str, Any]]:
        """The cells of a column, under the settings that most variants share."""
        mine, (metric, draws) = self.section.cells, column
        mine = mine[(mine.metric == metric) & (mine.settings == self.section.settled(metric, draws))]
        printed = self.printed[self.printed.metric == metric]
        printed = printed[printed.draws == draws] if draws else printed
        cells = []
        for method, label, variant in self.methods:
            of = mine.baseline == FLOOR if variant == FLOOR else (mine.variant == variant) & mine.is_headline
            found, beside = next(each(mine[of]), None), next(each(printed[printed.method == method]), None)
            cells.append(self._cell(found, beside, method, label, variant.replace(FLOOR, ""), metric, draws))
        return cells

    def _cell(self, found: Any, printed: Any, *about: Any) -> dict[str, Any]:
        *method, metric, draws = about
        absent = (math.nan, math.nan, 0, 0, "", "", (), "not run")
        cell = dict(zip(MEASURED, [getattr(found, key) for key in MEASURED] if found else absent, strict=True))
        values = (printed.value, printed.std, printed.settings) if printed else (math.nan, math.nan, "")
        draws = json.loads(found.settings).get("draws") if found else draws
        # Like with like: bits/dim of one K, and what depends on all of a protocol under that protocol.
        protocol = self.section.protocol
        alike = protocol == "paper" or (protocol != "smoke" and metric not in self.table.strict)
        alike = alike and bool(printed) and (math.isnan(printed.draws) or printed.draws == draws)
        place = (self.paper.folder.name, self.table.name, self.section.suite, protocol, self.section.dataset)
        difference = cell["mean"] - values[0] if alike else math.nan
        return dict(zip(COLUMNS, (*place, *method, metric, draws, *values, difference), strict=False)) | cell

    def grid(self) -> Grid:
        """The table for readers; columns of what is published and what differs stand if there is any."""
        headers: list[Header] = []
        shown: list[list[Entry]] = []
        for (metric, draws), cells in self.columns.items():
            title = self._title(metric, draws)
            divide = HOUR if metric == "train_seconds" else self.section.about(metric).divide
            form = f".{max(_decimals(cell[key]) for cell in cells for key in ('published', 'published_std'))}f"
            difference = [Entry(value=cell["difference"], form=f"+{form}") for cell in cells]
            for header, entries in (
                (Header(title, published=True), [_published(cell, form) for cell in cells]),
                (Header(title), [_measured(cell, divide) for cell in cells]),
                (Header(f"{title} difference"), difference),
            ):
                if header == Header(title) or any(entry.is_number for entry in entries):
                    headers.append(header)
                    shown.append(entries)
        seeds = [max(cell["n"] for cell in cells) for cells in zip(*self.columns.values(), strict=True)]
        rows = [
            Row(name, label, str(n or ABSENT), tuple(entries))
            for (name, label, _), n, *entries in zip(self.methods, seeds, *shown, strict=True)
        ]
        title = f"{self.table.title} on {self.section.name} {self.section.where}"
        about = (("Method", "Seeds"), (self.section.name,), self.section.protocol)
        return Grid(title, "quality", tuple(headers), tuple(rows), self._remarks(), *about)

    def _title(self, metric: str, draws: int | None) -> str:
        about = self.section.about(metric)
        name, unit = ("Training", "h") if metric == "train_seconds" else (about.title, about.unit)
        return f"{name}{f', K = {draws}' * bool(draws)}{f' [{unit}]' * bool(unit)}"

    def _remarks(self) -> tuple[str, ...]:
        remarks = [CAPTION]
        if self.section.protocol == "smoke":
            remarks.append("Smoke run, no result: no difference is taken.")
        for (metric, _), cells in self.columns.items():
            settings = next((cell["settings"] for cell in cells if cell["settings"]), "{}")
            words = vocabulary.words({k: v for k, v in json.loads(settings).items() if k != "device"})
            remarks += [f"{self._title(metric, cells[0]['draws'])}: {', '.join(words)}."] if words else []
        settings = [[cell["published_settings"] for cell in cells] for cells in self.columns.values()]
        printed = dict.fromkeys(text for line in zip(*settings, strict=True) for text in line if text)
        return (*dict.fromkeys(remarks), *([f"Published with: {' | '.join(printed)}."] if printed else []))


def published_tables(section: Section, published: DataFrame) -> tuple[list[Grid], list[dict[str, Any]]]:
    """The tables of all papers that the section has a place in: for readers, and as tidy rows with the columns COLUMNS.

    Args:
        published: rows of `bench.papers.paper.published_numbers`.
    """
    found: list[Filled] = []
    for paper, table in [(one, table) for one in known() for table in one.tables]:
        dataset = table.datasets.get(section.dataset) if table.datasets else section.dataset
        own = (published.paper == paper.folder.name) & (published.source == paper.source)
        printed = published[own & (published.table == table.name) & (published.dataset == dataset)]
        if (table.everywhere or len(printed)) and (table.task == "super-resolution") == section.is_super_resolution:
            part = _only(section, table.settings) if table.settings else section
            found.append(Filled(paper, table, part, printed))
    found = [filled for filled in found if len(filled.section.frame) and filled.columns]
    rows = [cell for filled in found for line in zip(*filled.columns.values(), strict=True) for cell in line]
    return [filled.grid() for filled in found], rows


def _only(section: Section, settings: dict[str, Any]) -> Section:
    """The section without samples that were drawn or measured otherwise; without any if it has no such sample."""
    frame = section.frame
    drawn = ({**row.parsed, "n": row.n}.items() >= settings.items() for row in each(frame))
    kept = frame.loc[[stage != "samples" or fits for stage, fits in zip(frame.stage, drawn, strict=True)]]
    return replace(section, frame=kept if (kept.stage == "samples").any() else kept[:0])


def related(sections: Sequence[Section], published: DataFrame) -> list[Grid]:
    """Numbers of other sources on the data of the sections, once per dataset, in tables of their own.

    They are of other code and other protocols, which is said below them, and never stand in a column of ours.
    """
    grids = []
    for dataset in dict.fromkeys(section.dataset for section in sections):
        names, mine = tuple(s.name for s in sections if s.dataset == dataset), published[published.dataset == dataset]
        for source, about in [pair for paper in known() for pair in paper.related.items()]:
            if len(rows := mine[mine.source == source]):
                grids.append(_related(f"{dataset}: {about.citation}", about.differs, rows, names))
    return grids


def _related(title: str, differs: str, rows: DataFrame, names: tuple[str, ...]) -> Grid:
    """Methods by metrics; a method that is printed under several settings has a line for each."""
    metrics = sorted(dict.fromkeys(rows.metric), key=vocabulary.order)
    lines = []
    for (method, settings), mine in rows.groupby(["method", "settings"], sort=False):
        values = dict(zip(mine.metric, mine.value, strict=True))
        entries = tuple(Entry(value=values.get(name, math.nan), form="g") for name in metrics)
        lines.append(Row(str(method), str(method), str(settings), entries))
    notes = (f"Note: {note}." for note in dict.fromkeys(rows.note) if note)
    headers = tuple(vocabulary.metric(name).title for name in metrics)
    return Grid(title, "quality", headers, tuple(lines), (differs, *notes), ("Method", "Settings"), names)


def _measured(cell: dict[str, Any], divide: float) -> Entry:
    if not cell["n"]:
        return Entry(cell["lost_to"] if cell["lost"] else ABSENT, title=cell["hole"])
    return number(SimpleNamespace(**cell), divide)


def _published(cell: dict[str, Any], form: str) -> Entry:
    deviation = cell["published_std"]
    tail = f"(std {deviation:{form}})" if math.isfinite(deviation) else ""
    return Entry(value=cell["published"], form=form, tail=tail)


def _decimals(value: float) -> int:
    return len(f"{value:g}".partition(".")[2])
