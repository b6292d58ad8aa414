"""The headline table laid out for readers: per section a grid of quality, one of cost, and those of many samplers.

What the numbers of a grid have in common is said once below it; a header says only what tells its column from another
of the same metric. Bold marks the best mean of a column and no more: intervals may overlap.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pandas import DataFrame

from bench.errors import NOT_APPLICABLE
from bench.report import vocabulary
from bench.report.budget import COUNTED
from bench.report.comparable import EXACT_FIELD, FLOOR, OF_DATA
from bench.report.equal_seconds import at_equal_seconds, grid
from bench.report.evaluations import by_evaluations
from bench.report.extract import count, each, listed
from bench.report.grid import ABSENT, Entry, Grid, Group, Header, Row, left
from bench.report.lost_points import NUMBER, told
from bench.report.sections import Section

LEADING: dict[Group, tuple[str, ...]] = {
    "quality": ("Seeds",),
    "cost": ("Seeds", "Parameters", "Steps", "Samples seen", "Evaluations"),
}
CAPTION = "Mean ± half-width of the 95% t-interval over seeds."
BOLD = "Bold: best mean of its column; where intervals overlap the order is not established."
AT_FLOOR = "≈"
OF_FLOOR = "Floor: as many fresh data in the place of samples, ± half-width of the 95% interval of one more such set."
REACHED = f"{AT_FLOOR}: not beyond that interval, so not told from data."
AROUND_0 = "Floors around 0, of what has no bias and may be below it by chance:"
OF_EXACT = (
    "Exact field: the velocity of a path in closed form, by the law of the data, ± half-width of the 95% interval over "
    "samples. No training along that path can reach a better one; a model that has less is underfitted."
)
OF_FEWER = "Floor (of fewer): no more data is fresh than so many; as many as the samples would score otherwise."
REPEATED = "Mean of one seed: the interval is that of its repeats of sampling."
HANGING = "A mean NLL with lost points hangs on them and has no interval; the defensive one bounds what each costs."
FURTHER = "Rows with a further sampler share the weights, and so the likelihood and the training, of the row above."
PUBLISHED = "Published values are the papers' own: other code, seeds and machines"


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
        unit = f" [{self.about.unit}]" if self.about.unit else ""
        own = Header(self.about.title + unit, self.about.direction, self.detail)
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
    """The best mean of a column, of rows that lost no seed; None if `better` is "" or most rows share it."""
    means = cells["mean"][~cells.baseline.isin(OF_DATA) & (cells.lost == 0)].dropna()
    if not better or len(means) < 2:
        return None
    best = float(means.min() if better == "lower" else means.max())
    return best if 2 * (means == best).sum() <= len(means) else None


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
    remarks = _remarks(section, rows, columns, cells, batch)
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
    if cell.baseline in OF_DATA:
        return replace(shown, n=None, tail=f"(of {cell.of_fewer:,})" if cell.of_fewer else "")
    if 1 < cell.n < seeds and not cell.lost:
        shown = replace(shown, tail=f"(n={cell.n}) {shown.tail}".strip())
    if cell.at_floor:
        shown = replace(shown, tail=f"{shown.tail} {AT_FLOOR}".strip())
    return replace(shown, best=not cell.lost and cell.mean == column.best, notes=notes)


def made_elsewhere(origin: Mapping[str, Any]) -> str:
    """ "made elsewhere (50,000 samples in 1 file, SHA-256 0a1b2c3d4e5f)"."""
    held = f"{origin.get('count', 0):,} samples in {count(origin.get('files', 0), 'file')}"
    return f"made elsewhere ({held}, SHA-256 {origin.get('sha256', '')[:12]})"


def number(cell: Any, divide: float) -> Entry:
    """The mean of a cell; of the seeds that have a value, it says so: "3.2 ± 0.1 (2 of 3 seeds; 1 diverged)".

    A mean that hangs on lost points has no interval: "2.88e22 (3 of 40,000 points lost)".
    """
    entry = Entry("", cell.mean / divide, cell.half_width / divide, cell.n, runs=tuple(cell.run_ids))
    if _is_repeated(cell):
        entry = replace(entry, n=None, tail=f"(1 seed, {cell.repeats} repeats)")
    if cell.lost:
        entry = replace(entry, n=None, tail=left(cell.n, cell.lost, cell.lost_to), title=cell.hole)
    if cell.lost_points:
        tail = f"{entry.tail} {told(cell.lost_points, cell.of_points)}".strip()
        entry = replace(entry, half_width=math.nan, n=None, tail=tail)
    return entry


def _is_repeated(cell: Any) -> bool:
    """Whether the interval of a cell is that of the repeats of one seed."""
    return bool(cell.n == 1 and math.isfinite(cell.half_width))


def _remarks(
    section: Section, rows: Sequence[Row], columns: Sequence[_Column], cells: DataFrame, batch: str
) -> list[str]:
    entries = [entry for row in rows for entry in row.entries]
    remarks = [CAPTION]
    if any(entry.best for entry in entries):
        remarks.append(BOLD)
    remarks += [REPEATED] if any(map(_is_repeated, each(cells[~cells.baseline.isin(OF_DATA)]))) else []
    remarks += [OF_FLOOR] if cells.half_width[cells.baseline == FLOOR].notna().any() else []
    if (around := cells[(cells.baseline == FLOOR) & (cells["mean"].abs() < cells.half_width)]).size:
        titles = dict.fromkeys(section.about(name).title for name in around.metric)
        remarks.append(f"{AROUND_0} {listed(titles)}.")
    remarks += [OF_EXACT] if (cells.baseline == EXACT_FIELD).any() else []
    remarks += [REACHED] if cells.at_floor.any() else []
    remarks += [HANGING] if cells.lost_points.any() else []
    remarks += [OF_FEWER] if cells.of_fewer.any() else []
    dashes = [(row.label, entry.title) for row in rows for entry in row.entries if entry.words == ABSENT]
    unsuitable = dict.fromkeys(dash for dash in dashes if dash[1].startswith(NOT_APPLICABLE))
    if any(dash not in unsuitable for dash in dashes):
        remarks.append(f"{ABSENT}: not measured under the settings of the column.")
    remarks += [f"{ABSENT} of {label}: {reason}." for label, reason in unsuitable]
    if not cells.is_headline[~cells.baseline.isin(OF_DATA)].all():
        remarks.append(FURTHER)
    if own := list(dict.fromkeys(cells.label[cells.own_density])):
        remarks.append(f"Likelihood of {listed(own)}: by the model's own density.")
    remarks += [f"{section.labels[v]}: {made_elsewhere(origin)}." for v, origin in section.elsewhere.items()]
    if batch:
        remarks.append(f"Samples: {batch}.")
    if machines := {column.device: column.machine for column in columns if column.device}:
        named = [f"{device} ({machine})" if machine else device for device, machine in machines.items()]
        remarks.append(f"Seconds and memory: on {listed(named)}.")
    for words in dict.fromkeys(column.words for column in columns if column.words):
        titles = dict.fromkeys(column.about.title for column in columns if column.words == words)
        remarks.append(f"{listed(titles)}: {', '.join(words)}.")
    if sources := list(dict.fromkeys(cells.published_source[cells.published.notna()])):
        differs = "" if section.protocol == "paper" else f", and another protocol than '{section.protocol}'"
        remarks.append(f"{PUBLISHED}{differs}. They are from {listed(sources)}.")
    return remarks
