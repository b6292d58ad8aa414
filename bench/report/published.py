"""The tables of papers in their own arrangement: what is published, what is measured, and the difference.

Which rows and columns a table has is the paper's to say (bench/papers/paper.py). Methods stand in its order, others
after them. A difference is taken only of like with like, and of nothing of a smoke run.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pandas import DataFrame, Series, concat

from bench.papers.paper import REFERENCE, Paper, Table, known
from bench.report import vocabulary
from bench.report.comparable import FLOOR
from bench.report.extract import each
from bench.report.grid import ABSENT, Entry, Grid, Header, Row
from bench.report.sections import Section
from bench.report.tables import CAPTION, number
from bench.report.variants import Config, apart

HOUR = 3600.0
Column = tuple[str, int | None]  # a metric, of K draws if K is part of what it is
Columns = dict[Column, DataFrame]
MEASURED = ["mean", "half_width", "n", "lost", "lost_to", "settings", "run_ids", "hole"]
PRINTED = {"value": "published", "std": "published_std", "settings": "published_settings", "draws": "published_draws"}
NOT_RUN = {"n": 0, "lost": 0, "lost_to": "", "settings": "", "hole": "not run", "published_settings": ""}
COLUMNS = [
    *("paper", "table", "suite", "protocol", "dataset", "method", "baseline", "label", "variant", "other"),
    *("metric", "draws", "published", "published_std", "published_settings", "difference", *MEASURED),
]


def published_tables(
    section: Section, published: DataFrame, configs: Mapping[str, Config]
) -> tuple[list[Grid], list[dict[str, Any]]]:
    """The tables of all papers that the section has a place in: for readers, and as tidy rows of COLUMNS.

    `configs` tell which printed method a variant is.
    """
    grids: list[Grid] = []
    rows: list[Any] = []
    for paper, table in [(one, table) for one in known() for table in one.tables]:
        dataset = table.datasets.get(section.dataset) if table.datasets else section.dataset
        own = (published.paper == paper.folder.name) & (published.source == paper.source)
        printed = published[own & (published.table == table.name) & (published.dataset == dataset)]
        if (table.task == "super-resolution") != section.is_super_resolution or not (table.everywhere or len(printed)):
            continue
        part = _only(section, table.settings) if table.settings else section
        if len(part.frame) and (columns := _columns(paper, table, part, printed, configs)):
            grids.append(_grid(table, part, columns))
            rows += concat(columns.values()).sort_index(kind="stable").to_dict("records")
    return grids, rows


def _columns(
    paper: Paper, table: Table, section: Section, printed: DataFrame, configs: Mapping[str, Config]
) -> Columns:
    """Tidy cells, one per method, of all that the table names and that is measured or printed."""
    names = [section.metric(name) for name in table.columns]
    kept = {*section.frame.metric, *printed.metric}
    columns: list[Column] = [(name, None) for name in names if name and name in kept]
    if table.by_draws:
        of_names = section.frame[section.frame.metric.isin(names)]
        draws = sorted({settings["draws"] for settings in of_names.parsed if "draws" in settings})
        columns = [(name, k) for name, _ in columns for k in draws] if len(draws) > 1 else []
    methods = _methods(paper, table, section, printed, configs)
    place = {"paper": paper.folder.name, "table": table.name, "suite": section.suite, "protocol": section.protocol}
    place["dataset"] = section.dataset
    return {
        (metric, k): _cells(section, methods, printed, metric, k, metric in table.strict).assign(**place)[COLUMNS]
        for metric, k in columns
    }


def _methods(
    paper: Paper, table: Table, section: Section, printed: DataFrame, configs: Mapping[str, Config]
) -> DataFrame:
    """Name in the paper ("" for none), baseline, label and variant of what was run, and of what is only printed.

    Several variants of a printed method are called by what differs from its first in the frame, `other`.
    """
    labels = {REFERENCE: "Reference", **paper.methods}
    firsts: dict[str, str] = {}
    rows = []
    for run in each(section.frame.drop_duplicates("variant")):
        options = (configs.get(run.variant, {}).get("baseline") or {}).get("options") or {}
        method = paper.method(run.baseline, options)
        first = firsts.setdefault(method, run.variant)
        label, other = section.labels[run.variant], ""
        if method in labels and first != run.variant:
            other = apart(run.variant, first, configs) or label
        if method in labels:
            label = ", ".join(filter(None, (labels[method], other)))
        rows.append((method, run.baseline, label, run.variant, other))
    rows += [
        (name, name, labels.get(name, name), "", "") for name in dict.fromkeys(printed.method) if name not in firsts
    ]
    order = table.rows or tuple(paper.methods)
    rows.sort(key=lambda row: order.index(row[0]) if row[0] in order else len(order))
    return DataFrame(rows, columns=["method", "baseline", "label", "variant", "other"])


def _cells(
    section: Section, methods: DataFrame, printed: DataFrame, metric: str, draws: int | None, strict: bool
) -> DataFrame:
    """The cells of a column, a row per method, under the settings that most variants share."""
    ours = section.cells
    ours = ours[(ours.metric == metric) & (ours.settings == section.settled(metric, draws))]
    ours = ours[ours.is_headline | ((ours.baseline == FLOOR) & (ours.of_fewer == 0))]
    ours = ours.assign(baseline=ours.baseline.replace(FLOOR, REFERENCE))[["baseline", "variant", *MEASURED]]
    theirs = printed[(printed.metric == metric) & ((printed.draws == draws) | (not draws))]
    theirs = theirs.drop_duplicates("method").rename(columns=PRINTED)[["method", *PRINTED.values()]]
    cells = methods.merge(ours, on=["baseline", "variant"], how="left").merge(theirs, on="method", how="left")
    cells = cells.fillna(NOT_RUN)
    cells["run_ids"] = [runs if isinstance(runs, tuple) else () for runs in cells.run_ids]
    measured_draws = [json.loads(text).get("draws") if text else draws for text in cells.settings]
    # Like with like: bits/dim of one K, and what depends on all of a protocol under that protocol.
    compared = section.protocol == "paper" or (section.protocol != "smoke" and not strict)
    cells = cells.assign(metric=metric, draws=Series(measured_draws, dtype=float))
    alike = cells.published_draws.isna() | (cells.published_draws == cells.draws)
    difference = (cells["mean"] - cells.published).where(alike & compared)
    return cells.assign(difference=difference).astype({"n": int, "lost": int})


def _grid(table: Table, section: Section, columns: Columns) -> Grid:
    """The table for readers; columns of what is published and what differs stand if there is any."""
    headers: list[Header] = []
    shown: list[list[Entry]] = []
    for (metric, draws), cells in columns.items():
        title = _title(section, metric, draws)
        divide = HOUR if metric == "train_seconds" else section.about(metric).divide
        printed = [f"{value:g}" for value in (*cells.published, *cells.published_std)]
        form = f".{max(len(text.partition('.')[2]) for text in printed)}f"
        for header, entries in (
            (Header(title, published=True), [_published(cell, form) for cell in each(cells)]),
            (Header(title), [_measured(cell, divide) for cell in each(cells)]),
            (Header(f"{title} difference"), [Entry(value=x, form=f"+{form}") for x in cells.difference]),
        ):
            if header == Header(title) or any(entry.is_number for entry in entries):
                headers.append(header)
                shown.append(entries)
    first = next(iter(columns.values()))
    seeds = concat([cells.n for cells in columns.values()], axis=1).max(axis=1)
    rows = [
        Row(name, label, str(n or ABSENT), tuple(entries))
        for name, label, n, *entries in zip(first.baseline, first.label, seeds, *shown, strict=True)
    ]
    title = f"{table.title} on {section.name} {section.where}"
    about = (("Method", "Seeds"), (section.name,), section.protocol)
    return Grid(title, "quality", tuple(headers), tuple(rows), _remarks(section, columns), *about)


def _title(section: Section, metric: str, draws: float | None) -> str:
    about = section.about(metric)
    name, unit = ("Training", "h") if metric == "train_seconds" else (about.title, about.unit)
    return f"{name}{f', K = {draws}' * bool(draws)}{f' [{unit}]' * bool(unit)}"


def _remarks(section: Section, columns: Columns) -> tuple[str, ...]:
    remarks = [CAPTION]
    if section.protocol == "smoke":
        remarks.append("Smoke run, no result: no difference is taken.")
    for (metric, draws), cells in columns.items():
        settings: dict[str, Any] = json.loads(next(filter(None, cells.settings), "{}"))
        settings.pop("device", None)
        words = vocabulary.words(settings)
        remarks += [f"{_title(section, metric, draws)}: {', '.join(words)}."] if words else []
    settings_printed = concat([cells.published_settings for cells in columns.values()]).sort_index(kind="stable")
    if printed := dict.fromkeys(filter(None, settings_printed)):
        remarks.append(f"Published with: {' | '.join(printed)}.")
    return tuple(dict.fromkeys(remarks))


def _only(section: Section, settings: dict[str, Any]) -> Section:
    """The section without samples that were drawn or measured otherwise; without any if it has no such sample."""
    frame = section.frame
    drawn = ({**row.parsed, "n": row.n}.items() >= settings.items() for row in each(frame))
    kept = frame.loc[[stage != "samples" or fits for stage, fits in zip(frame.stage, drawn, strict=True)]]
    return replace(section, frame=kept if (kept.stage == "samples").any() else kept[:0])


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


def _measured(cell: Any, divide: float) -> Entry:
    return number(cell, divide) if cell.n else Entry(cell.lost_to or ABSENT, title=cell.hole)


def _published(cell: Any, form: str) -> Entry:
    tail = f"(std {cell.published_std:{form}})" if math.isfinite(cell.published_std) else ""
    return Entry(value=cell.published, form=form, tail=tail)
