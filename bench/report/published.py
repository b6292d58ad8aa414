"""The tables of papers in their own arrangement: what is published, what is measured, and the difference.

Which rows and columns a table has is the paper's to say (bench/papers/paper.py). Methods stand in its order, others
after them. A difference is taken only of like with like: bits/dim of the same K, a metric that depends on much only
under the protocol "paper", and nothing of a smoke run.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.papers.paper import REFERENCE, Paper, Table, known
from bench.report import vocabulary
from bench.report.cells import headline, of_section
from bench.report.comparable import FLOOR, settled_cells
from bench.report.grid import ABSENT, Entry, Grid, Header, Row
from bench.report.scores import distance_metric, likelihood_metric
from bench.report.sections import Section, each
from bench.report.tables import CAPTION, number

if TYPE_CHECKING:
    from pandas import DataFrame

HOUR = 3600.0
NUMBERS = ["published", "published_std", "mean", "half_width", "difference"]
MEASURED = ["mean", "half_width", "n", "lost", "lost_to", "settings", "run_ids", "hole"]
COLUMNS = [
    *("paper", "table", "suite", "protocol", "dataset", "method", "label", "variant", "metric", "draws", "published"),
    *("published_std", "published_settings", "mean", "half_width", "n", "lost", "lost_to", "difference", "settings"),
    *("run_ids", "hole"),
]


class Column(NamedTuple):
    """A metric, of K draws if K is part of what it is."""

    metric: str
    draws: int | None = None

    @property
    def title(self) -> str:
        about = vocabulary.metric(self.metric)
        if self.metric == "train_seconds":
            return "Training [h]"
        k = f", K = {self.draws}" if self.draws else ""
        return f"{about.title}{k}{f' [{about.unit}]' if about.unit else ''}"

    @property
    def divide(self) -> float:
        return HOUR if self.metric == "train_seconds" else vocabulary.metric(self.metric).divide


@dataclass(frozen=True)
class Filled:
    """One table of a paper, filled from a section's cells and from what is printed of its data."""

    paper: Paper
    table: Table
    section: Section
    cells: "DataFrame"
    printed: "DataFrame"

    @cached_property
    def columns(self) -> list[Column]:
        """Of what the table names all that is measured or printed."""
        frame = self.section.frame
        if self.table.by_draws:
            draws = sorted({s["draws"] for s in frame[frame.metric.isin(self.table.columns)].parsed if "draws" in s})
            return [Column(name, k) for name in self.table.columns for k in draws] if len(draws) > 1 else []
        whichever = {"nll": likelihood_metric, "quality": distance_metric}
        names = [whichever[name](self.section) if name in whichever else name for name in self.table.columns]
        return [Column(name) for name in names if name and name in {*frame.metric, *self.printed.metric}]

    @cached_property
    def lines(self) -> list[list[dict[str, Any]]]:
        """A line of cells a method; a printed method without a run has its published numbers alone."""
        baseline = self.section.frame.drop_duplicates("variant").set_index("variant").baseline
        methods = [(str(baseline[v]), label, v) for v, label in self.section.labels.items()]
        run = {name for name, _, _ in methods}
        methods += [
            (name, self.paper.methods.get(name, name.capitalize()), FLOOR if name == REFERENCE else "")
            for name in dict.fromkeys(self.printed.method)
            if name not in run
        ]
        order = self.table.rows or tuple(self.paper.methods)
        methods.sort(key=lambda method: order.index(method[0]) if method[0] in order else len(order))
        return [[self._cell(column, *method) for column in self.columns] for method in methods]

    def _cell(self, column: Column, method: str, label: str, variant: str) -> dict[str, Any]:
        cell: dict[str, Any] = dict.fromkeys(COLUMNS, "") | dict.fromkeys(NUMBERS, math.nan)
        cell |= {"paper": self.paper.folder.name, "table": self.table.name, "suite": self.section.suite}
        cell |= {"protocol": self.section.protocol, "dataset": self.section.dataset, "method": method, "label": label}
        cell |= {"variant": "" if variant == FLOOR else variant, "metric": column.metric, "draws": column.draws}
        cell |= {"n": 0, "lost": 0, "hole": "not run"}
        rows = self.printed[(self.printed.method == method) & (self.printed.metric == column.metric)]
        printed: Any = next(each(rows[rows.draws == column.draws] if column.draws else rows), None)
        mine = self._settled[column]
        of = mine.baseline == FLOOR if variant == FLOOR else (mine.variant == variant) & ~mine.native.astype(bool)
        found: Any = next(each(mine[of]), None)
        if printed:
            cell |= {"published": printed.value, "published_std": printed.std, "published_settings": printed.settings}
        if found:
            cell |= {key: getattr(found, key) for key in MEASURED}
            cell["draws"] = json.loads(found.settings).get("draws")
        if printed and found and self._alike(column.metric, printed.draws, cell["draws"]):
            cell["difference"] = found.mean - printed.value
        return cell

    def _alike(self, metric: str, printed: float, draws: int | None) -> bool:
        """Whether measured and published are of one kind."""
        if self.section.protocol == "smoke" or (metric in self.table.strict and self.section.protocol != "paper"):
            return False
        return math.isnan(printed) or printed == draws

    @cached_property
    def _settled(self) -> "dict[Column, DataFrame]":
        """The cells of each column under the settings that most variants share."""
        mine = of_section(self.cells, self.section)
        keys = {column: settled_cells(mine, column.metric, column.draws) for column in self.columns}
        return {column: mine[(mine.metric == column.metric) & (mine.settings == key)] for column, key in keys.items()}

    def grid(self) -> Grid:
        """The table for readers; columns of what is published and what differs stand if there is any."""
        headers: list[Header] = []
        shown: list[list[Entry]] = [[] for _ in self.lines]
        for column, cells in zip(self.columns, zip(*self.lines, strict=True), strict=True):
            digits = max(_decimals(cell[key]) for cell in cells for key in ("published", "published_std"))
            made = {
                "published": [_published(cell, digits) for cell in cells],
                "": [_entry(cell, column.divide) for cell in cells],
                "difference": [Entry(value=cell["difference"], form=f"+.{digits}f") for cell in cells],
            }
            for kind, entries in made.items():
                if not kind or any(entry.is_number for entry in entries):
                    title = f"{column.title} {kind}" if kind == "difference" else column.title
                    headers.append(Header(title, published=kind == "published"))
                    for row, entry in zip(shown, entries, strict=True):
                        row.append(entry)
        rows = []
        for line, row in zip(self.lines, shown, strict=True):
            seeds = max(cell["n"] for cell in line)
            rows.append(Row(line[0]["method"], line[0]["label"], str(seeds or ABSENT), tuple(row)))
        title = f"{self.table.title} on {self.section.name} {self.section.where}"
        about = (("Method", "Seeds"), (self.section.name,), self.section.protocol)
        return Grid(title, "quality", tuple(headers), tuple(rows), self._remarks(), *about)

    def _remarks(self) -> tuple[str, ...]:
        said = [CAPTION]
        if self.section.protocol == "smoke":
            said.append("Smoke run, no result: no difference is taken.")
        for column, cells in zip(self.columns, zip(*self.lines, strict=True), strict=True):
            settings = next((cell["settings"] for cell in cells if cell["settings"]), "{}")
            words = vocabulary.words({k: v for k, v in json.loads(settings).items() if k != "device"})
            title = Column(column.metric, cells[0]["draws"]).title
            said += [f"{title}: {', '.join(words)}."] if words else []
        settings = dict.fromkeys(cell["published_settings"] for line in self.lines for cell in line)
        if printed := [text for text in settings if text]:
            said.append(f"Published with: {' | '.join(printed)}.")
        return tuple(dict.fromkeys(said))


def published_tables(
    section: Section, cells: "DataFrame", published: "DataFrame"
) -> tuple[list[Grid], list[dict[str, Any]]]:
    """The tables of all papers that the section has a place in: for readers, and as tidy rows with the columns COLUMNS.

    Args:
        published: rows of `bench.papers.paper.published_numbers`.
    """
    found: list[Filled] = []
    for paper in known():
        own = published[(published.paper == paper.folder.name) & (published.source == paper.source)]
        for table in paper.tables:
            dataset = table.datasets.get(section.dataset) if table.datasets else section.dataset
            printed = own[(own.table == table.name) & (own.dataset == dataset)]
            if (table.everywhere or len(printed)) and (table.task == "super-resolution") == section.is_super_resolution:
                part = _only(section, table.settings)
                values = headline([part], published.iloc[:0]) if table.settings else cells
                found.append(Filled(paper, table, part, values, printed))
    found = [filled for filled in found if filled.columns and len(filled.section.frame)]
    return [filled.grid() for filled in found], [cell for filled in found for line in filled.lines for cell in line]


def _only(section: Section, settings: dict[str, Any]) -> Section:
    """The section without samples that were drawn or measured otherwise; without any if it has no such sample."""
    import numpy as np

    if not settings:
        return section
    frame = section.frame
    drawn = [{**s, "n": n}.items() >= settings.items() for s, n in zip(frame.parsed, frame.n, strict=True)]
    kept = (frame.stage == "samples") & np.array(drawn, bool)
    return replace(section, frame=frame[kept | (frame.stage != "samples")] if kept.any() else frame[kept])


def related(sections: Sequence[Section], published: "DataFrame") -> list[Grid]:
    """Numbers of other sources on the data of the sections, once a dataset, in tables of their own.

    They are of other code and other protocols, which is said below them, and never stand in a column of ours.
    """
    grids = []
    sources: Iterable[Any] = [pair for paper in known() for pair in paper.related.items()]
    for dataset in dict.fromkeys(section.dataset for section in sections):
        names = tuple(section.name for section in sections if section.dataset == dataset)
        for source, about in sources:
            rows = published[(published.dataset == dataset) & (published.source == source)]
            if len(rows):
                grids.append(_related(f"{dataset}: {about.citation}", about.differs, rows, names))
    return grids


def _related(title: str, differs: str, rows: "DataFrame", names: tuple[str, ...]) -> Grid:
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


def _entry(cell: dict[str, Any], divide: float) -> Entry:
    if not cell["n"]:
        return Entry(cell["lost_to"] if cell["lost"] else ABSENT, title=cell["hole"])
    return number(SimpleNamespace(**cell), divide)


def _published(cell: dict[str, Any], digits: int) -> Entry:
    deviation = cell["published_std"]
    tail = f"(std {deviation:.{digits}f})" if math.isfinite(deviation) else ""
    return Entry(value=cell["published"], form=f".{digits}f", tail=tail)


def _decimals(value: float) -> int:
    return len(f"{value:g}".partition(".")[2])
