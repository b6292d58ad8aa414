"""The headline table laid out for readers: per section a grid of quality, one of cost, and those of many samplers.

What the numbers of a grid have in common is said once below it; a header says only what tells its column from another
of the same metric. Bold marks the best mean of a column and no more: intervals may overlap.
"""

import json
import math
from dataclasses import dataclass, replace
from typing import Any

from pandas import DataFrame

from bench.report import numbers, vocabulary
from bench.report.budget import COUNTED
from bench.report.comparable import OF_DATA
from bench.report.entries import leader
from bench.report.equal_seconds import at_equal_seconds, grid
from bench.report.evaluations import by_evaluations
from bench.report.extract import each
from bench.report.grid import ABSENT, Entry, Grid, Group, Header, Row, left
from bench.report.lost_points import NUMBER, told
from bench.report.remarks import AT_FLOOR, is_repeated, remarks_on, tells_sampling
from bench.report.sections import Section

LEADING: dict[Group, tuple[str, ...]] = {
    "quality": ("Seeds",),
    "cost": ("Seeds", "Parameters", "Steps", "Samples seen", "Evaluations"),
}


@dataclass(frozen=True)
class Table:
    """The grids of one section with its notes: what failed or was not run, and why."""

    section: Section
    grids: tuple[Grid, ...]
    notes: tuple[str, ...]


class _Column:
    """A metric under one set of settings; `detail` tells it from its siblings, columns of the same metric."""

    def __init__(self, section: Section, metric: str, settings: str, cells: DataFrame) -> None:
        self.metric, self.settings, self.about = metric, settings, section.about(metric)
        parsed = json.loads(settings)
        self.device = parsed.pop("device", None)
        self.machine = ""
        self.words = tuple(vocabulary.words(parsed))
        self.detail: tuple[str, ...] = ()
        self.published = bool(cells.published.notna().any())
        self.best = _best(cells, self.about.direction)
        self.cells = {(cell.variant, cell.sampler, cell.batch): cell for cell in each(cells)}

    @property
    def headers(self) -> list[Header]:
        """Its own, and that of the published values beside it."""
        own = Header(vocabulary.headed(self.about), self.about.direction, self.detail)
        return [own, Header(self.about.title, published=True)] if self.published else [own]


def _columns(section: Section, cells: DataFrame) -> list[_Column]:
    of = dict(iter(cells.groupby(["metric", "settings"], sort=False)))
    keys = sorted(((str(name), str(text)) for name, text in of), key=lambda key: (vocabulary.order(key[0]), key[1]))
    columns = [_Column(section, *key, of[key]) for key in keys if key[0] != NUMBER or (of[key]["mean"] > 0).any()]
    devices = list(dict.fromkeys(column.device for column in columns if column.device))
    for column in columns if len(devices) > 1 else ():
        column.machine = f"machine {devices.index(column.device) + 1}" if column.device else ""
    for column in columns:
        siblings = [(*one.words, *filter(None, [one.machine])) for one in columns if one.metric == column.metric]
        words = (*column.words, *filter(None, [column.machine]))
        if len(set(siblings)) < len(siblings):  # no words tell them apart
            column.detail = (column.settings,)
        elif len(siblings) > 1:
            column.detail = tuple(word for word in words if not all(word in others for others in siblings))
    return columns


def _best(cells: DataFrame, better: str) -> float | None:
    """The best mean of a column, of rows that lost neither seed nor point."""
    return leader(cells["mean"][~cells.baseline.isin(OF_DATA) & (cells.lost == 0) & (cells.lost_points == 0)], better)


def table(section: Section) -> Table:
    group_of = section.cells.metric.map(lambda name: section.about(name).table)
    groups: tuple[Group, ...] = ("quality", "cost")
    quality, cost = (_grid(section, group, section.cells[group_of == group]) for group in groups)
    beside = [grid(found)] if (found := at_equal_seconds(section)) else []
    grids = (quality, *beside, cost, *by_evaluations(section))
    return Table(section, grids, tuple(str(incident) for incident in section.incidents))


def _grid(section: Section, group: Group, cells: DataFrame) -> Grid:
    columns = _columns(section, cells)
    shown = {*section.cells.baseline} - {*OF_DATA} | {*cells.baseline}
    lines = [line for line in _lines(section.cells) if line.baseline in shown]
    batches = {line.batch for line in lines if line.batch}
    batch = batches.pop() if len(batches) == 1 else ""
    rows = []
    for line in lines:
        entries = _leading(section, group, line)
        for column in columns:
            cell = column.cells.get((line.variant, line.sampler, line.batch))
            entries.append(_entry(section, column, cell, line.seeds))
            if column.published:
                entries.append(Entry(value=math.nan if cell is None else cell.published, form="g"))
        baseline = "" if line.baseline in OF_DATA else line.baseline
        sampler = ", ".join(filter(None, (line.sampler, "" if batch else line.batch)))
        rows.append(Row(baseline, line.label, sampler, tuple(entries)))
    headers = [*map(Header, LEADING[group]), *(header for column in columns for header in column.headers)]
    title = f"{section.name}: {group} {section.where}"
    remarks = remarks_on(section, rows, columns, cells, batch)
    remarks += [COUNTED] if group == "cost" and any(line.evaluations > 0 for line in lines) else []
    return Grid(title, group, tuple(headers), tuple(rows), tuple(remarks))


def _lines(cells: DataFrame) -> list[Any]:
    """The rows in order, the floor last; each with the most seeds that any of its cells has."""
    keys = ["baseline", "label", "variant", "sampler", "batch"]
    frame = cells.assign(seeds=cells.groupby(keys).n.transform("max")).drop_duplicates(keys)
    return sorted(each(frame), key=lambda line: line.baseline in OF_DATA)


def _leading(section: Section, group: Group, line: Any) -> list[Entry]:
    if line.baseline in OF_DATA:
        return [Entry()] * len(LEADING[group])
    seeds = Entry(value=line.seeds)
    if line.seeds != line.planned:
        words = f"{line.seeds} of {line.planned:.0f}"
        seeds = Entry(words, line.seeds, notes=_notes(section, line.variant, "samples"))
    if group == "quality":
        return [seeds]
    given = (line.parameters, line.steps, line.samples, line.evaluations)
    return [seeds, *(Entry(value=v) if math.isfinite(v) else Entry(ABSENT) for v in given)]


def _notes(section: Section, variant: str, stage: str) -> tuple[int, ...]:
    incidents = section.incidents_at(variant, stage)
    return tuple(i for i, incident in enumerate(section.incidents, 1) if incident in incidents)


def _entry(section: Section, column: _Column, cell: Any, seeds: int) -> Entry:
    """One cell; it counts its own seeds where they are not those of its row."""
    if cell is None:
        return Entry()
    if not cell.n:
        return Entry(cell.word or ABSENT, notes=_notes(section, cell.variant, cell.stage), title=cell.hole)
    few = cell.n < seeds or cell.lost
    notes = _notes(section, cell.variant, cell.stage) if few and cell.baseline not in OF_DATA else ()
    shown = number(cell, column.about.divide)
    if cell.n == seeds:
        shown = replace(shown, n=None)
    if cell.baseline in OF_DATA:
        return replace(shown, n=None, tail=f"(of {cell.of_fewer:,})" if cell.of_fewer else "")
    if 1 < cell.n < seeds and not cell.lost:
        shown = replace(shown, tail=f"(n={cell.n}) {shown.tail}".strip())
    if tells_sampling(section, cell):
        spread = numbers.plain(cell.sampling_half / column.about.divide, 2)
        shown = replace(shown, tail=f"{shown.tail} (sampling ± {spread})".strip())
    if cell.at_floor:
        shown = replace(shown, tail=f"{shown.tail} {AT_FLOOR}".strip())
    return replace(shown, best=not (cell.lost or cell.lost_points) and cell.mean == column.best, notes=notes)


def number(cell: Any, divide: float) -> Entry:
    """The mean of a cell; of the seeds that have a value, it says so: "3.2 ± 0.1 (2 of 3 seeds; 1 diverged)".

    A mean that hangs on lost points has no interval: "2.88e22 (3 of 40,000 points lost)".
    """
    entry = Entry("", cell.mean / divide, cell.half_width / divide, cell.n, runs=tuple(cell.run_ids))
    if is_repeated(cell):
        entry = replace(entry, n=None, tail=f"(1 seed, {cell.repeats} repeats)")
    if cell.lost:
        entry = replace(entry, n=None, tail=left(cell.n, cell.lost, cell.lost_to), title=cell.hole)
    if cell.lost_points:
        tail = f"{entry.tail} {told(cell.lost_points, cell.of_points)}".strip()
        entry = replace(entry, half_width=math.nan, n=None, tail=tail)
    return entry
