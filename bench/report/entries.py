"""Entries of a table from rows of the frame: means over seeds with what was lost of them, and the best of a column."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from pandas import DataFrame

from bench.metrics.metric import Facts
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


def leader(means: Iterable[float], better: str) -> float | None:
    """The best of the means, NaN for one that does not count; None if `better` is "" or more than half share it, as one
    alone does.
    """
    counted = [mean for mean in means if not math.isnan(mean)]
    if not better or len(counted) < 2:
        return None
    best = min(counted) if better == "lower" else max(counted)
    return best if 2 * counted.count(best) <= len(counted) else None


def marked(block: Sequence[Row], directions: Sequence[str]) -> list[Row]:
    """The rows with the leader of each column marked, of the entries that lost no seed."""
    rows = [list(row.entries) for row in block]
    for i, better in enumerate(directions):
        values = [math.nan if row[i].title else row[i].value for row in rows]
        best = leader(values, better)
        for row, value in zip(rows, values, strict=True):
            row[i] = replace(row[i], best=value == best)
    return [replace(row, entries=tuple(entries)) for row, entries in zip(block, rows, strict=True)]
