"""The tables of papers in their own arrangement: what is published, what is measured, the difference and its verdict.

What is printed with a deviation over seeds stands beside the deviation that is measured, as like stands by like; what
is printed without one, beside the interval of the mean.
"""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pandas import DataFrame, concat

from bench.report import vocabulary
from bench.report.comparable import FLOOR
from bench.report.extract import each, listed
from bench.report.grid import ABSENT, Entry, Grid, Header, Row, left
from bench.report.published import Printed
from bench.report.remarks import AT_FLOOR, caption
from bench.report.reproduced import counted, digits
from bench.report.sections import Section
from bench.report.tables import number

HOUR = 3600.0
DEVIATIONS = (
    "Mean ± standard deviation over seeds, printed and measured. Difference ± half-width of the joint 95% interval of "
    "both means (Welch); a cell is within it, or above or below. A difference below the printed rounding is within."
)
CANNOT_TELL = (
    f"Floor: as many fresh data in the place of samples, ± half-width of the 95% interval of one more such set; "
    f"{AT_FLOOR}: printed at the floor, where a value cannot tell methods apart."
)


def published_grid(printed: Printed) -> Grid:
    """A table for readers; columns of what is published, differs and is judged stand if there is any."""
    section, headers, shown = printed.section, list[Header](), list[list[Entry]]()
    for (metric, draws), cells in printed.columns.items():
        divide = HOUR if metric == "train_seconds" else section.about(metric).divide
        of_column = _judged if cells.published_std.notna().any() else _plain
        for header, entries in of_column(cells, _title(section, metric, draws), divide):
            is_own = header.title == _title(section, metric, draws) and not header.published
            if is_own or any(entry.words or entry.is_number for entry in entries):
                headers.append(header)
                shown.append(entries)
    first = next(iter(printed.columns.values()))
    seeds = concat([cells.n for cells in printed.columns.values()], axis=1).max(axis=1)
    rows = []
    for name, label, n, *entries in zip(first.baseline, first.label, seeds, *shown, strict=True):
        own = tuple(replace(entry, n=None) if entry.n == n else entry for entry in entries)
        rows.append(Row("" if name == FLOOR else name, label, ABSENT if name == FLOOR or not n else str(n), own))
    title = f"{printed.table.title} on {section.name} {section.where}"
    about = (("Method", "Seeds"), (section.name,), section.protocol)
    return Grid(title, "quality", tuple(headers), tuple(rows), _remarks(printed), *about)


def _plain(cells: DataFrame, title: str, divide: float) -> list[tuple[Header, list[Entry]]]:
    """The columns of a metric that is printed without a deviation, or not at all."""
    form = f".{digits(cells)}f"
    return [
        (Header(title, published=True), [Entry(value=value, form=form) for value in cells.published]),
        (Header(title), [_measured(cell, divide) for cell in each(cells)]),
        (Header(f"{title} difference"), [Entry(value=x, form=f"+{form}") for x in cells.difference]),
    ]


def _judged(cells: DataFrame, title: str, divide: float) -> list[tuple[Header, list[Entry]]]:
    """The columns of a metric that is printed with a deviation: all in one number of digits."""
    form, of_seeds = f".{digits(cells)}f", cells.published_n.dropna().unique()
    floors = cells[(cells.baseline == FLOOR) & (cells.n > 0)]
    edge = (floors["mean"] + floors.half_width.fillna(0)).max()

    def spread(value: float, std: float) -> str:
        return f"± {std:{form}}" if math.isfinite(std) else ""

    def published(cell: Any) -> Entry:
        tail = [spread(cell.published, cell.published_std)]
        tail += [f"(n={cell.published_n:.0f})"] if len(of_seeds) > 1 and math.isfinite(cell.published_n) else []
        tail += [AT_FLOOR] if cell.published <= edge else []
        return Entry(value=cell.published, form=form, tail=" ".join(filter(None, tail)))

    def measured(cell: Any) -> Entry:
        if cell.baseline == FLOOR or not cell.n:
            return _measured(cell, divide)
        tail = [spread(cell.mean, cell.std), left(cell.n, cell.lost, cell.lost_to) if cell.lost else ""]
        return Entry(value=cell.mean, form=form, tail=" ".join(filter(None, tail)), runs=tuple(cell.run_ids))

    def difference(cell: Any) -> Entry:
        return Entry(value=cell.difference, form=f"+{form}", tail=spread(cell.difference, cell.joint_half_width))

    def verdict(cell: Any) -> Entry:
        return Entry(cell.verdict or (ABSENT if cell.no_verdict else ""), title=cell.no_verdict)

    seeds = tuple(f"{n:.0f} seeds" for n in of_seeds if len(of_seeds) == 1)
    made: list[tuple[Header, Callable[[Any], Entry]]] = [
        (Header(title, published=True, detail=("mean ± std", *seeds)), published),
        (Header(title, detail=("mean ± std",)), measured),
        (Header(f"{title} difference", detail=("± joint 95%",)), difference),
        (Header(f"{title} verdict"), verdict),
    ]
    return [(header, [entry(cell) for cell in each(cells)]) for header, entry in made]


def _title(section: Section, metric: str, draws: float | None) -> str:
    about = section.about(metric)
    name, unit = ("Training", "h") if metric == "train_seconds" else (about.title, about.unit)
    return f"{name}{f', K = {draws}' * bool(draws)}{f' [{unit}]' * bool(unit)}"


def _remarks(printed: Printed) -> tuple[str, ...]:
    section, cells = printed.section, printed.cells
    is_judged = cells.published_std.notna().any()
    remarks = [DEVIATIONS if is_judged else caption(section)]
    remarks += [CANNOT_TELL] if (cells.baseline == FLOOR).any() else []
    if section.protocol == "smoke":
        remarks.append("Smoke run, no result: no difference is taken.")
    if (cells.verdict != "").any():
        remarks.append(f"{counted(cells)}.")
    for why, of in cells[cells.no_verdict != ""].groupby("no_verdict", sort=False):
        remarks.append(f"No verdict on {listed(dict.fromkeys(of.label))}: {why}.")
    for (metric, draws), column in printed.columns.items():
        settings: dict[str, Any] = json.loads(next(filter(None, column.settings), "{}"))
        settings.pop("device", None)
        words = vocabulary.words(settings)
        remarks += [f"{_title(section, metric, draws)}: {', '.join(words)}."] if words else []
    if told := dict.fromkeys(filter(None, cells.published_settings)):
        remarks.append(f"Published with: {' | '.join(told)}.")
    remarks += filter(None, [printed.table.remark])
    return tuple(dict.fromkeys(remarks))


def _measured(cell: Any, divide: float) -> Entry:
    return number(cell, divide) if cell.n else Entry(cell.lost_to or ABSENT, title=cell.hole)
