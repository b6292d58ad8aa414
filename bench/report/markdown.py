"""The tables as Markdown, aligned so that they also read as plain text."""

import re
from collections.abc import Iterable, Sequence

from bench.report import vocabulary
from bench.report.grid import Entry, Grid
from bench.report.tables import Table


def markdown(tables: Iterable[Table], overview: Iterable[Grid] = ()) -> str:
    tables = list(tables)
    suites = ", ".join(dict.fromkeys(table.section.suite for table in tables))
    parts = [f"# Headline table of suite {suites}"]
    protocols = dict.fromkeys(table.section.protocol for table in tables)
    parts += [f"Protocol {name}: {vocabulary.PROTOCOLS.get(name, '')}" for name in protocols]
    parts += map(_grid, overview)
    for table in tables:
        parts += map(_grid, table.grids)
        notes = [f"- [{i}] {_plain(note)}" for i, note in enumerate(table.notes, 1)]
        parts += ["\n".join(notes)] if notes else []
    return "\n\n".join(parts) + "\n"


def document(title: str, grids: Iterable[Grid]) -> str:
    return "\n\n".join([f"# {title}", *map(_grid, grids)]) + "\n"


def _grid(grid: Grid) -> str:
    lines = [[*grid.leading, *(_plain(header.text) for header in grid.headers)]]
    lines += [[_plain(row.label), _plain(row.sampler), *map(_entry, row.entries)] for row in grid.rows]
    remarks = "\n".join(f"- {_plain(remark)}" for remark in grid.remarks)
    right = [False, False, *(any(row.entries[i].is_number for row in grid.rows) for i in range(len(grid.headers)))]
    return f"## {_plain(grid.title)}\n\n{_aligned(lines, right)}\n\n{remarks}"


def _entry(entry: Entry) -> str:
    return f"**{_plain(entry.plain)}**" if entry.best else _plain(entry.plain)


def _plain(text: str) -> str:
    """Text without meaning to Markdown."""
    return re.sub(r"([|<>`*_\\])", r"\\\1", text)


def _aligned(lines: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Columns of numbers to the right, of words to the left."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * (width - 1) + ":" if to_right else "-" * width for width, to_right in zip(widths, right, strict=True)]

    def line(texts: Sequence[str]) -> str:
        padded = [t.rjust(w) if r else t.ljust(w) for t, w, r in zip(texts, widths, right, strict=True)]
        return f"| {' | '.join(padded)} |"

    return "\n".join(map(line, [lines[0], rule, *lines[1:]]))
