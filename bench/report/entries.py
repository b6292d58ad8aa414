"""Entries of a table from rows of the frame: means over seeds with what was lost of them, and the best of a column."""

import math
from collections.abc import Sequence
from dataclasses import replace

from pandas import DataFrame

from bench.metrics.metric import Facts
from bench.report.axes import sign_of
from bench.report.grid import ABSENT, Entry, Row, left
from bench.report.incidents import kinds, reasons
from bench.report.sections import Section
from bench.report.statistics import t_interval


def entry_of(section: Section, rows: DataFrame, about: Facts) -> Entry:
    """The mean over runs of a row each, of value NaN where that was lost to its `reason`."""
    if rows.empty:
        return Entry(ABSENT)
    had, why = rows[rows.value.notna()], reasons(rows[rows.value.isna()])
    words, title = kinds(why), "; ".join(dict.fromkeys(why))
    if had.empty:
        return Entry(words, title=title)
    mean, half, n = t_interval(had.value)
    entry = Entry("", mean / about.divide, half / about.divide, title=title, runs=tuple(had.run_id))
    if len(why):
        return replace(entry, tail=left(n, len(why), words))
    if 1 < n < section.seeds:
        return replace(entry, tail=f"(n={n})")
    return entry if section.seeds == 1 else replace(entry, n=n)  # one seed is what the title says


def marked(block: Sequence[Row], columns: Sequence[Facts | None]) -> list[Row]:
    """The rows with the best of each column marked by the column's direction, of the entries that lost no seed."""

    def rank(entry: Entry, about: Facts | None) -> float:
        ranked = about and about.direction and entry.is_number and not entry.title
        return sign_of(about) * entry.value if about and ranked else math.inf

    ranks = [[rank(entry, about) for entry, about in zip(row.entries, columns, strict=True)] for row in block]
    best = [min(column) for column in zip(*ranks, strict=True)]
    return [
        replace(
            row,
            entries=tuple(replace(e, best=r == b < math.inf) for e, r, b in zip(row.entries, own, best, strict=True)),
        )
        for row, own in zip(block, ranks, strict=True)
    ]
